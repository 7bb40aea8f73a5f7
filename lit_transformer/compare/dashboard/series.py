"""The measured values of one run in memory: sixteen bytes a point."""

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lit_transformer.compare.dashboard.tail import LogRow
from lit_transformer.compare.plain import MAX_INT64, clean, number, whole

MAX_METRICS = 2_000
"""Names of one run whose curves are kept; a run of ten thousand would fill the memory and tell nobody anything."""


class Series:
    """Metric name -> steps and values, in the order in which they were logged."""

    def __init__(self) -> None:
        self._steps: dict[str, array[int]] = {}
        self._values: dict[str, array[float]] = {}

    def add(self, rows: Sequence[LogRow]) -> None:
        """Take rows of metrics.jsonl; one without a step is left out, a value that is no number becomes NaN."""
        steps = [(row, step) for row in rows if (step := _step(row)) is not None]
        for name in dict.fromkeys(name for row, _ in steps for name in row):
            if name == "step" or (name not in self._values and len(self._values) >= MAX_METRICS):
                continue
            held = [(row[name], step) for row, step in steps if name in row]
            values, places = self._values.setdefault(name, array("d")), self._steps.setdefault(name, array("q"))
            values.extend([value if type(value) is float else number(value) for value, _ in held])
            places.extend([step for _, step in held])

    @property
    def names(self) -> list[str]:
        return [clean(name) for name in self._values]

    def newest(self) -> dict[str, float]:
        """The last finite or infinite value of each metric; NaN stands for null, which is no value."""
        found = {}
        for name, values in self._values.items():
            last = next((value for value in reversed(values) if not math.isnan(value)), None)
            if last is not None:
                found[clean(name)] = last
        return found

    def curve(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps and values (points,) of a metric; empty where it was not measured."""
        own = name if name in self._values else next((own for own in self._values if clean(own) == name), None)
        if own is None:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return np.array(self._steps[own], dtype=np.int64), np.array(self._values[own], dtype=np.float64)

    @property
    def size(self) -> int:
        """Bytes held, roughly."""
        return 16 * sum(len(values) for values in self._values.values())


def _step(row: LogRow) -> int | None:
    step = row.get("step")
    return step if type(step) is int and abs(step) < MAX_INT64 else whole(step)
