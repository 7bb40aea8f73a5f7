"""What the seeds of a comparison allow to be said: each cell, and each value of a swept setting, against the best."""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from lit_transformer.compare.comparison import SEED, Comparison, goal_of, values_of
from lit_transformer.compare.plain import label, number
from lit_transformer.compare.significance import CellFit, Standings, against_best, fit_cells
from lit_transformer.compare.statistics import Row, merit, rows_of, summarise

Standing = Literal["best", "not told apart", "worse", ""]
"""Against the best cell; empty where a cell was not compared."""


@dataclass(frozen=True)
class Judged:
    """The cells of a comparison, and what can be said of them beyond chance."""

    cells: pd.DataFrame
    """`statistics.summarise`, best first, with `adjusted` (the mean over all seeds by the additive model), `behind`
    `behind_low` `behind_high` (how much worse than the best, simultaneous 95 % interval), `p`, `standing`."""
    compared: bool
    reason: str
    """Why no cell was compared, in plain words; empty where they were."""
    sd: float = math.nan
    """The pooled standard deviation of a run beside the effects of cell and seed."""
    df: int = 0
    levels: dict[str, pd.DataFrame] = field(default_factory=dict)
    """For each swept setting its values, averaged over the other settings: `value`, `mean`, and the columns above."""
    notes: tuple[str, ...] = ()
    """What the comparison rests on that a reader should know."""


def judge(comparison: Comparison) -> Judged:
    """Compare the comparison's cells by its metric, best first."""
    metric = comparison.metric
    goal = goal_of(metric, comparison)
    keys = comparison.cell_keys
    cells = summarise(comparison.runs, keys, metric)
    reason = why_not(comparison)
    fit = _fit(comparison, cells, metric) if comparison.averaged and goal is not None else None
    standings = against_best(fit, lower_is_better=goal == "minimize") if fit else None
    if comparison.averaged and standings is None:
        reason = (
            "No ranking is claimed: too few cells have the same seeds complete, or all seeds gave the same numbers, so "
            "that there is no noise to hold a difference against."
        )
    cells = with_standings(cells.assign(adjusted=fit.means if fit else math.nan), standings)
    order = sorted(range(len(cells)), key=[_merit(row, goal or "minimize") for row in rows_of(cells)].__getitem__)
    levels = _levels(comparison, cells, fit, lower_is_better=goal == "minimize") if fit and standings else {}
    return Judged(
        cells=cells.iloc[order].reset_index(drop=True),
        compared=standings is not None,
        reason=reason,
        sd=fit.sd if fit else math.nan,
        df=fit.df if fit else 0,
        levels=levels,
        notes=_notes(comparison, cells) if standings else (),
    )


def why_not(comparison: Comparison) -> str:
    """Why the runs cannot be ranked whatever their numbers; empty where seeds were swept."""
    if len(comparison.runs) < 2 or comparison.averaged:
        return ""
    if len(values_of(comparison.runs, SEED) if SEED in comparison.runs else []) > 1:
        return "Each run stands for itself: no ranking between close runs is claimed."
    return (
        "One seed: no ranking between close cells is claimed, since another seed may reorder them. "
        "Sweep seed: {values: [0, 1, 2]} (or --seeds 3) to see how far chance alone moves a number."
    )


def _fit(comparison: Comparison, cells: pd.DataFrame, metric: str) -> CellFit | None:
    """The additive model over the complete runs with a number, cells in the order of `cells`."""
    keys = comparison.cell_keys
    place = {tuple(label(row[key]) for key in keys): index for index, row in enumerate(rows_of(cells[keys]))}
    seeds = {label(value): index for index, value in enumerate(values_of(comparison.runs, SEED))}
    if metric not in comparison.runs:
        return None
    runs = rows_of(comparison.runs[[*keys, SEED, "status", metric]])
    counted = [row for row in runs if row["status"] == "complete" and math.isfinite(number(row[metric]))]
    cell = np.array([place[tuple(label(row[key]) for key in keys)] for row in counted], dtype=int)
    seed = np.array([seeds[label(row[SEED])] for row in counted], dtype=int)
    return fit_cells(cell, seed, np.array([number(row[metric]) for row in counted]), cells=len(cells))


def with_standings(table: pd.DataFrame, standings: Standings | None) -> pd.DataFrame:
    """With `behind` `behind_low` `behind_high` `p` `standing` of each row, as in `Judged.cells`."""
    absent = np.full(len(table), math.nan)
    columns = {
        "behind": standings.behind if standings else absent,
        "behind_low": standings.low if standings else absent,
        "behind_high": standings.high if standings else absent,
        "p": standings.p if standings else absent,
        "standing": _standing_names(standings, len(table)),
    }
    return table.assign(**{name: pd.Series(values, index=table.index) for name, values in columns.items()})


def _standing_names(standings: Standings | None, count: int) -> list[Standing]:
    """What each cell is called; nothing where none was compared."""
    if standings is None:
        return [""] * count
    named: list[Standing] = []
    for index in range(count):
        if index == standings.best:
            named.append("best")
        elif math.isnan(standings.behind[index]):
            named.append("")
        else:
            named.append("worse" if standings.worse[index] else "not told apart")
    return named


def _merit(row: Row, goal: Literal["minimize", "maximize"]) -> tuple[int, float, int]:
    """`merit` by the mean over all seeds, which a cell that lacks some may have other than its own."""
    adjusted = number(row["adjusted"])
    return merit({**row, "mean": adjusted} if math.isfinite(adjusted) else row, goal)


def _levels(
    comparison: Comparison, cells: pd.DataFrame, fit: CellFit, *, lower_is_better: bool
) -> dict[str, pd.DataFrame]:
    """Each setting's values, averaged over the points of the other settings at which every value was compared."""
    found: dict[str, pd.DataFrame] = {}
    for key in comparison.factors:
        values = values_of(cells, key)
        weights = _weights(cells, fit, key, values, [other for other in comparison.factors if other != key])
        if weights is None or len(values) < 2:
            continue
        group = fit.averaged(weights)
        standings = against_best(group, lower_is_better=lower_is_better)
        if standings is not None:
            table = pd.DataFrame({"value": pd.Series(values, dtype=object), "mean": group.means})
            found[key] = with_standings(table, standings)
    return found


def _weights(cells: pd.DataFrame, fit: CellFit, key: str, values: list[object], others: list[str]) -> np.ndarray | None:
    """(values, cells) that average over the others; None where no point of the others has all values."""
    rows = rows_of(cells[[key, *others]])
    points: dict[tuple[str, ...], dict[str, int]] = {}
    for index in fit.comparable:
        row = rows[index]
        points.setdefault(tuple(label(row[other]) for other in others), {})[label(row[key])] = int(index)
    whole = [place for place in points.values() if len(place) == len(values)]
    if not whole:
        return None
    weights = np.zeros((len(values), len(cells)))
    for level, value in enumerate(values):
        weights[level, [place[label(value)] for place in whole]] = 1 / len(whole)
    return weights


def _notes(comparison: Comparison, cells: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    seeds = len(values_of(comparison.runs, SEED))
    short = [row for row in rows_of(cells) if 0 < row["n"] < seeds and row["status"] == "complete"]
    if short:
        lost = any("failed" in row["detail"] or "diverged" in row["detail"] for row in short)
        flattered = "; where seeds failed or diverged, the others flatter the cell" if lost else ""
        notes.append(
            f"{len(short)} of {len(cells)} cells have fewer than {seeds} seeds: they are compared by the means that "
            f"all seeds would give{flattered}."
        )
    without = sum(row["standing"] == "" for row in rows_of(cells))
    if without:
        notes.append(f"{without} of {len(cells)} cells have no complete run to compare.")
    return tuple(notes)
