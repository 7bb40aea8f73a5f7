"""Mean and standard deviation over seeds, and cells in order of merit."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.plain import label
from lit_transformer.compare.plan import Goal

COSTS = ("parameters", "flops_per_token", "flops", "tokens_per_second", "seconds", "peak_memory_bytes")
PROVISIONAL = ("running", "stopped", "pruned")
"""Runs whose numbers stand in where a cell has no complete run; a failed or diverged run never gives a number."""
WORST_FIRST = ("running", "damaged", "failed", "diverged", "stopped", "pruned", "missing", "impossible", "complete")


def mean_sd(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (n - 1; NaN for fewer than two) and count of the finite values."""
    finite = np.array([value for value in values if np.isfinite(value)], dtype=float)
    if not finite.size:
        return float("nan"), float("nan"), 0
    return float(finite.mean()), float(finite.std(ddof=1)) if finite.size > 1 else float("nan"), finite.size


def summarise(runs: pd.DataFrame, by: Sequence[str], metric: str) -> pd.DataFrame:
    """One row for each distinct combination of the columns `by`, in order of appearance.

    Columns: `by`, `mean` `sd` `n` of `metric` over the complete runs (over running, stopped and pruned ones where none
    is complete; sd is NaN where n < 2), the mean of each cost, `status` (`complete` where any run is), `count` of runs,
    `detail` (what is not complete, in words).
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    keys = [[label(value) for value in runs[key]] for key in by]
    for index in range(len(runs)):
        groups.setdefault(tuple(column[index] for column in keys), []).append(index)
    rows = [_summary(runs.iloc[indices], by, metric) for indices in groups.values()]
    columns = [*by, "mean", "sd", "n", *COSTS, "status", "count", "detail"]
    return pd.DataFrame({name: [row[name] for row in rows] for name in columns})


def _summary(group: pd.DataFrame, by: Sequence[str], metric: str) -> dict[str, object]:
    counts = Counter(str(status) for status in group["status"])
    counted = group[group["status"] == "complete"]
    if counted.empty:
        counted = group[group["status"].isin(PROVISIONAL)]
    measured = counted[metric].astype("float64") if metric in group.columns else pd.Series(dtype="float64")
    mean, sd, n = mean_sd(measured.tolist())
    status = "complete" if "complete" in counts else next((s for s in WORST_FIRST if s in counts), min(counts))
    row: dict[str, object] = {key: group[key].iloc[0] for key in by}
    row |= {"mean": mean, "sd": sd, "n": n, "status": status, "count": len(group), "detail": _detail(group, counts)}
    for cost in COSTS:
        row[cost] = mean_sd(group[cost].astype("float64").tolist())[0]
    return row


def _detail(group: pd.DataFrame, counts: Counter[str]) -> str:
    """What is not complete in a cell: the count of each status where there are several runs, then the reasons."""
    texts = dict.fromkeys(str(text) for name in ("problem", "error") for text in group[name] if isinstance(text, str))
    states = ", ".join(f"{count} {status}" for status, count in counts.items()) if len(group) > 1 else ""
    return "; ".join([states, *texts] if states and len(counts) > 1 else list(texts))


def ranked(cells: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Cells best first: complete ones by their mean, then those with a provisional number, then the rest."""
    sign = 1.0 if goal == "minimize" else -1.0
    mean = cells["mean"].astype("float64")
    merit = pd.DataFrame(
        {
            "class": np.where(mean.isna(), 2, np.where(cells["status"] == "complete", 0, 1)),
            "merit": sign * mean,
            "status": [WORST_FIRST.index(s) if s in WORST_FIRST else len(WORST_FIRST) for s in cells["status"]],
        },
        index=cells.index,
    )
    return cells.loc[merit.sort_values(["class", "merit", "status"], kind="stable").index].reset_index(drop=True)


def ranked_cells(comparison: Comparison, metric: str | None = None) -> pd.DataFrame:
    """The comparison's cells, best first by its metric; the columns of `summarise`."""
    cells = summarise(comparison.runs, comparison.cell_keys, metric or comparison.metric)
    return ranked(cells, comparison.goal)


def best_cell(cells: pd.DataFrame, goal: Goal) -> int | None:
    """The position of the best complete cell; None where no complete cell has a number."""
    mean = cells["mean"].astype("float64").where(cells["status"] == "complete")
    if not mean.notna().any():
        return None
    return int(np.nanargmin(mean) if goal == "minimize" else np.nanargmax(mean))
