"""Whether a running trial is stopped early: read from the cells' logs, asked by a file, written into stops.jsonl."""

import errno
import json
import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from lit_transformer.records.locks import FileLock
from lit_transformer.records.requests import Request, write_request
from lit_transformer.records.run_folder import RunFolder, read_rows
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep import halving, hyperband
from lit_transformer.sweep.verdict import Goal, Verdict

Stopper = Literal["hyperband", "asha"]
LOOK_SECONDS = 0.25
"""Between looks at the trial's own log."""
AGAIN_SECONDS = 5.0
"""Between looks at the others' where its own has not grown: their values move a threshold too."""


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """Which trials of a sweep stop early, as it is frozen in the sweep's folder."""

    stopper: Stopper
    metric: str
    goal: Goal
    bands: tuple[int, ...]
    """Hyperband's; the first one is the least number of values of asynchronous halving."""
    eta: float
    strict: bool = True

    def band(self, history: list[float]) -> int:
        """The newest band that a trial has reached; 0 before the first."""
        if self.stopper == "asha":
            return max(halving.rungs(len(history), self.bands[0], round(self.eta)), default=0)
        return max((band for band in self.bands if band <= len(history)), default=0)

    def decide(self, history: list[float], others: list[list[float]]) -> Verdict | None:
        """What the rule says of a trial and the other trials; None before its first band."""
        if self.stopper == "asha":
            return halving.decide(
                history, others, metric=self.metric, least=self.bands[0], factor=round(self.eta), goal=self.goal
            )
        return hyperband.decide(
            history, [*others, history], self.bands, metric=self.metric, eta=self.eta, goal=self.goal,
            strict=self.strict,
        )  # fmt: skip

    def __str__(self) -> str:
        if self.stopper == "asha":
            return f"asha, by {self.metric} after {self.bands[0]} values of it and {self.eta:g} times as many each time"
        shown = ", ".join(map(str, self.bands[:4])) + (", ..." if len(self.bands) > 4 else "")
        by = "the value there" if self.strict else "the best value so far"
        return f"hyperband, by {self.metric} after {shown} values of it, eta {self.eta:g}, by {by}"

    def to_json(self) -> dict[str, object]:
        """As it is frozen; `from_json` reads it."""
        return {**asdict(self), "bands": list(self.bands)}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "StopRule":
        """A rule as `to_json` wrote it."""
        bands = value["bands"]
        assert isinstance(bands, list)
        return cls(**{**value, "bands": tuple(bands)})  # type: ignore[arg-type]


class Histories:
    """The values that cells have logged of a metric; a log is read again where it has grown or was cut."""

    def __init__(self, folder: SweepFolder, metric: str) -> None:
        self._folder, self.metric = folder, metric
        self._known: dict[str, tuple[int, list[float]]] = {}

    def of(self, cell: str) -> list[float]:
        """Finite values in order."""
        run = self._folder.cell(cell)
        size = run.size_of(run.metrics_file)
        if cell not in self._known or self._known[cell][0] != size:
            self._known[cell] = size, logged(run, self.metric)
        return self._known[cell][1]


class Judge:
    """Looks at the trial that a worker runs, and asks it to end where the rule says so."""

    def __init__(self, folder: SweepFolder, rule: StopRule, histories: Histories) -> None:
        """`histories` are those of the rule's metric."""
        self._folder, self._rule, self._histories = folder, rule, histories
        self._looked, self._weighed = 0.0, 0.0
        self._cell, self._length, self._band, self._asked = "", 0, 0, False

    def look(self, cell: str, others: Iterable[str]) -> Verdict | None:
        """The verdict that ends the cell's trial, once it is asked to; raises OSError."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return None
        self._looked = now
        if cell != self._cell:
            self._cell, self._length, self._band, self._asked = cell, 0, 0, False
        if self._asked or self._folder.cell(cell).request_file.exists():  # by an earlier holder of the cell, say
            return None
        history = self._histories.of(cell)
        if not history or (len(history) == self._length and now - self._weighed < AGAIN_SECONDS):
            return None
        self._length, self._weighed = len(history), now
        band = self._rule.band(history)
        if not band or (self._rule.stopper == "asha" and band == self._band):
            return None  # Optuna judges a trial once a rung
        self._band = band
        found = [self._histories.of(other) for other in others if other != cell]
        verdict = self._rule.decide(history, [values for values in found if values])
        if verdict is None or not verdict.stop:
            return None
        append_stop(self._folder, cell, verdict)
        write_request(self._folder.cell(cell), Request(what="prune", why=str(verdict), details=verdict.to_json()))
        self._asked = True
        return verdict


def logged(run: RunFolder, metric: str) -> list[float]:
    """The finite values of a metric in a run's log, in order."""
    values = (row.get(metric) for row in read_rows(run.metrics_file))
    return [
        float(value)
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    ]


def append_stop(folder: SweepFolder, cell: str, verdict: Verdict) -> None:
    """One line in the sweep's stops.jsonl, whole or not at all, whoever else writes there; raises OSError."""
    line = json.dumps({"cell": cell, "time": round(time.time(), 3), **verdict.to_json()}, ensure_ascii=False) + "\n"
    with FileLock(folder.path / ".stops.lock"):
        descriptor = os.open(folder.stops_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line.encode()) < len(line.encode()):
                os.ftruncate(descriptor, before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.stops_file))
        finally:
            os.close(descriptor)
