"""metrics.jsonl in long form, smoothing, and fewer points that keep a curve's shape."""

from pathlib import Path

import numpy as np
import pandas as pd

from lit_transformer.compare.plain import clean, number, whole
from lit_transformer.records.run_folder import RunFolder

MAX_POINTS = 400


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
    finite = pd.Series(np.where(np.isfinite(values), values, np.nan))
    average = finite.ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean()
    return average.where(finite.notna()).to_numpy()


def thin(values: np.ndarray, limit: int = MAX_POINTS) -> np.ndarray:
    """Indices of at most `limit` points that draw the same curve: each bucket's lowest and highest, first and last.

    values: (points,) -> (kept,) ascending. Raises ValueError for a limit below 4.
    """
    if limit < 4:
        raise ValueError(f"limit must be at least 4, got {limit}")
    count = len(values)
    if count <= limit:
        return np.arange(count)
    kept = {0, count - 1}
    for bucket in np.array_split(np.arange(1, count - 1), (limit - 2) // 2):
        inside = values[bucket]
        if np.isfinite(inside).any():
            kept |= {int(bucket[np.nanargmin(inside)]), int(bucket[np.nanargmax(inside)])}
        else:
            kept.add(int(bucket[0]))  # keeps the gap a gap
    return np.array(sorted(kept))
