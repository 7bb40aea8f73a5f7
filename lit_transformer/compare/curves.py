"""metrics.jsonl in long form, smoothing, and fewer points that keep a curve's shape."""

from pathlib import Path

import numpy as np
import pandas as pd

from lit_transformer.compare.plain import clean, number, whole
from lit_transformer.records.run_folder import RunFolder

MAX_POINTS = 400
BLOCK = 64
"""Points that are averaged at once."""


def read_curves(directory: str | Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Every measured value of the runs: columns `run`, `step`, `metric`, `value` (NaN where it was not finite).

    `runs` are `read_runs(directory)`; damaged lines of a metrics.jsonl are left out.
    """
    columns: dict[str, list[object]] = {"run": [], "step": [], "metric": [], "value": []}
    for run in runs["run"]:
        for row in RunFolder(Path(directory) / run).read_metrics():
            step = whole(row.pop("step", None))
            if step is not None:
                columns["run"] += [run] * len(row)
                columns["step"] += [step] * len(row)
                columns["metric"] += row
                columns["value"] += map(number, row.values())
    names = {name: clean(str(name)) for name in set(columns["metric"])}
    columns["metric"] = [names[name] for name in columns["metric"]]
    frame = pd.DataFrame(columns)
    return frame.astype({"run": object, "step": "int64", "metric": object, "value": "float64"})


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average, corrected for its start at zero (Kingma and Ba, section 3); NaN stays NaN.

    values: (points,) -> (points,). `weight` in [0, 1) is the share that the past keeps; 0 gives the values back.
    """
    if len(values) and np.isfinite(values).all():
        return _average(values, weight)
    finite = pd.Series(np.where(np.isfinite(values), values, np.nan))
    average = finite.ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean()
    return average.where(finite.notna()).to_numpy()


def _average(values: np.ndarray, weight: float) -> np.ndarray:
    """The average of finite values, a block at a time: ten times as fast as pandas, which hundreds of curves feel."""
    powers = weight ** np.arange(BLOCK + 1.0)
    past = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    share = (1 - weight) * np.where(past >= 0, powers[np.maximum(past, 0)], 0.0)
    blocks = np.zeros((-(-len(values) // BLOCK), BLOCK))
    blocks.flat[: len(values)] = values
    blocks, carried = blocks @ share.T, 0.0
    for row in range(len(blocks)):
        blocks[row] += carried * powers[1:]
        carried = blocks[row, -1]
    average: np.ndarray = blocks.ravel()[: len(values)] / (1 - weight ** np.arange(1.0, len(values) + 1))
    return average


def thin(values: np.ndarray, limit: int = MAX_POINTS) -> np.ndarray:
    """Indices of at most `limit` points that draw the same curve: each bucket's lowest and highest, first and last.

    values: (points,) -> (kept,) ascending. Raises ValueError for a limit below 4.
    """
    if limit < 4:
        raise ValueError(f"limit must be at least 4, got {limit}")
    count = len(values)
    if count <= limit:
        return np.arange(count)
    buckets = (limit - 2) // 2
    size, longer = divmod(count - 2, buckets)  # as np.array_split parts them: the first ones are one longer
    middle = 1 + longer * (size + 1)
    first, rest = (values[1:middle], 1, size + 1), (values[middle : count - 1], middle, size)
    kept = [_extremes(part, start, width) for part, start, width in (first, rest) if len(part)]
    return np.unique(np.concatenate([[0, count - 1], *kept]))


def _extremes(values: np.ndarray, start: int, width: int) -> np.ndarray:
    """Places of the lowest and highest value of each bucket of `width`, counted from `start`; one place of a gap."""
    rows = values.reshape(-1, width)
    gaps, absent = ~np.isfinite(rows).any(axis=1), np.isnan(rows)
    low = np.where(gaps, 0, np.where(absent, np.inf, rows).argmin(axis=1))  # a gap keeps its first point
    high = np.where(gaps, 0, np.where(absent, -np.inf, rows).argmax(axis=1))
    firsts = start + width * np.arange(len(rows))
    return np.concatenate([firsts + low, firsts + high])
