"""Mean, standard deviation and interval over seeds, and cells in order of merit."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.special import stdtrit

from lit_transformer.compare.plain import label, number
from lit_transformer.compare.plan import Goal

LEVEL = 0.95
"""How sure every interval is."""
COSTS = ("parameters", "flops_per_token", "flops", "tokens_per_second", "seconds", "peak_memory_bytes")
PROVISIONAL = ("running", "stopped", "pruned")
"""Runs whose numbers stand in where a cell has no complete run; a failed or diverged run never gives a number."""
WORST_FIRST = ("running", "damaged", "failed", "diverged", "stopped", "pruned", "missing", "impossible", "complete")

Row = Mapping[str, Any]
"""A row of a table as a dict: reading one out of a DataFrame costs a hundred times as much."""


def mean_sd(values: Iterable[float]) -> tuple[float, float, int]:
    """Mean, sample standard deviation (n - 1; NaN for fewer than two) and count of the finite values."""
    finite = [value for value in values if math.isfinite(value)]
    n = len(finite)
    if not n:
        return math.nan, math.nan, 0
    try:
        mean = math.fsum(finite) / n
        return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in finite) / (n - 1)) if n > 1 else math.nan, n
    except OverflowError:  # beyond 1e308
        return math.fsum(value / n for value in finite), math.nan, n


def mean_interval(mean: float, sd: float, n: int) -> tuple[float, float]:
    """Student's 95 % interval of the mean of `n` values with standard deviation `sd`; NaN where n < 2."""
    if n < 2:
        return math.nan, math.nan
    margin = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * sd / math.sqrt(n)
    return mean - margin, mean + margin


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """The rows of a table in order."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return [{name: values[index] for name, values in columns.items()} for index in range(len(frame))]


def summarise(runs: pd.DataFrame, by: Sequence[str], metric: str) -> pd.DataFrame:
    """One row for each distinct combination of the columns `by`, in order of appearance.

    Columns: `by`, `mean` `sd` `n` of `metric` over the complete runs (over running, stopped and pruned ones where none
    is complete; sd is NaN where n < 2), `low` and `high` of the mean's 95 % interval, the mean of each cost, `status`
    (`complete` where any run is), `count` of runs, `detail` (what is not complete, in words).
    """
    wanted = dict.fromkeys([*by, metric, *COSTS, "status", "problem", "error"])
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows_of(runs[[name for name in wanted if name in runs.columns]]):
        groups.setdefault(tuple(label(row[key]) for key in by), []).append(row)
    rows = [_summary(group, by, metric) for group in groups.values()]
    columns = [*by, "mean", "sd", "n", "low", "high", *COSTS, "status", "count", "detail"]
    data = {name: pd.Series([row[name] for row in rows], dtype=object).infer_objects() for name in columns}
    return pd.DataFrame(data)


def _summary(group: list[Row], by: Sequence[str], metric: str) -> Row:
    counts = Counter(str(row["status"]) for row in group)
    counted = [row for row in group if row["status"] == "complete"]
    counted = counted or [row for row in group if row["status"] in PROVISIONAL]
    mean, sd, n = mean_sd(number(row.get(metric)) for row in counted)
    low, high = mean_interval(mean, sd, n)
    status = "complete" if "complete" in counts else next((s for s in WORST_FIRST if s in counts), min(counts))
    costs = {cost: mean_sd(number(row[cost]) for row in group)[0] for cost in COSTS}
    return {
        **{key: group[0][key] for key in by},
        **costs,
        "mean": mean,
        "sd": sd,
        "n": n,
        "low": low,
        "high": high,
        "status": status,
        "count": len(group),
        "detail": _detail(group, counts),
    }


def _detail(group: list[Row], counts: Counter[str]) -> str:
    """What is not complete in a cell: the count of each status where there are several runs, then the reasons."""
    texts = dict.fromkeys(row[name] for name in ("problem", "error") for row in group if isinstance(row[name], str))
    states = ", ".join(f"{count} {status}" for status, count in counts.items())
    return "; ".join([states, *texts] if len(counts) > 1 else texts)


def merit(row: Row, goal: Goal) -> tuple[int, float, int]:
    """Sort key, best first: complete cells by their mean, then those with a provisional number, then the rest."""
    mean = number(row["mean"])
    status = WORST_FIRST.index(row["status"]) if row["status"] in WORST_FIRST else len(WORST_FIRST)
    if math.isnan(mean):
        return 2, 0.0, status
    return 0 if row["status"] == "complete" else 1, mean if goal == "minimize" else -mean, status


def ranked(cells: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """Cells best first, by `merit`."""
    keys = [merit(row, goal) for row in rows_of(cells[["mean", "status"]])]
    return cells.iloc[sorted(range(len(keys)), key=keys.__getitem__)].reset_index(drop=True)


def best_cell(cells: pd.DataFrame, goal: Goal) -> int | None:
    """The position of the best complete cell; None where no complete cell has a number."""
    keys = [merit(row, goal) for row in rows_of(cells[["mean", "status"]])]
    best = min(range(len(keys)), key=keys.__getitem__, default=None)
    return best if best is not None and keys[best][0] == 0 else None
