"""`analyze SWEEP`: few heads against pruned ones, and how the loss falls with size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lit_transformer.analysis.few_heads import Match, find_series, match_heads, passes
from lit_transformer.analysis.progress import progress
from lit_transformer.analysis.scaling import Fit, Floats, Term, Unidentified, bootstrap, distinct, fit, identified_terms
from lit_transformer.analysis.scaling import intervals as intervals_of
from lit_transformer.analysis.subject import check_batches
from lit_transformer.compare.comparison import DEFAULT_METRIC, Comparison, read_comparison
from lit_transformer.compare.plain import label, number
from lit_transformer.compare.statistics import Row, mean_sd, rows_of
from lit_transformer.config.errors import UserError
from lit_transformer.inference.load import find_device
from lit_transformer.records.analysis import ANALYSIS_VERSION, sweep_analysis_file
from lit_transformer.records.atomic import write_json

LINE_POINTS = 60
"""Points of the fitted line and its band."""


@dataclass(frozen=True)
class Cell:
    """A cell of a sweep with a loss: the mean over its seeds."""

    cell: dict[str, object]
    parameters: float
    tokens: float
    loss: float
    sd: float | None
    n: int

    def size(self, terms: tuple[Term, ...]) -> list[float]:
        """What the terms of a law depend on."""
        return [self.parameters if term == "parameters" else self.tokens for term in terms]


@dataclass
class SweepAnalysis:
    """What a sweep says; a part that it cannot answer is None, with the reason."""

    directory: Path
    title: str
    matches: list[Match] | None = None
    few_heads_reason: str | None = None
    scaling: dict[str, object] | None = None
    scaling_reason: str | None = None

    def to_json(self) -> dict[str, object]:
        """The document of sweep.json."""
        return {
            "version": ANALYSIS_VERSION,
            "title": self.title,
            "few_heads": None if self.matches is None else [match.to_json() for match in self.matches],
            "few_heads_reason": self.few_heads_reason,
            "scaling": self.scaling,
            "scaling_reason": self.scaling_reason,
        }

    def write(self, document: dict[str, object]) -> Path:
        """Write `document`, which is `to_json`, as sweep.json into the sweep's folder, whole or not at all."""
        path = sweep_analysis_file(self.directory)
        write_json(path, document)
        return path


def analyze_sweep(directory: Path, *, batches: int, device: str) -> SweepAnalysis:
    """Both parts on the complete cells of a sweep; raises UserError where it can answer neither."""
    check_batches(batches)
    find_device(device)  # a wrong one is said before anything else
    comparison = read_comparison(directory)
    if not (comparison.runs["status"] == "complete").any():
        raise UserError(
            f"{directory} has no complete cell to analyze\n"
            f"  got      {', '.join(sorted(set(comparison.runs['status'])))}\n"
            "  fix      let the sweep run: lit-transformer sweep run FILE goes on"
        )
    found = SweepAnalysis(directory, comparison.title)
    try:
        found.scaling = scaling_of(comparison)
    except Unidentified as reason:
        found.scaling_reason = str(reason)
    try:
        series = find_series(comparison)
        with progress("few heads against pruned ones", passes(series, batches)) as advance:
            found.matches = match_heads(directory, series, batches=batches, device=device, advance=advance)
    except UserError as error:
        found.few_heads_reason = str(error)
    if found.scaling is None and found.matches is None:
        raise UserError(f"{found.few_heads_reason}\n{found.scaling_reason}")
    return found


def loss_metric(comparison: Comparison) -> str:
    """The loss that scaling is fitted to: the sweep's metric where that is one."""
    return comparison.metric if comparison.metric.endswith("loss") else DEFAULT_METRIC


def cells_of(comparison: Comparison, metric: str) -> list[Cell]:
    """Cells with complete runs whose loss and sizes are above 0, means over their seeds."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    complete = comparison.runs[comparison.runs["status"] == "complete"]
    for row in rows_of(complete):
        if all(number(row.get(name)) > 0 for name in (metric, "parameters", "tokens")):
            groups.setdefault(tuple(label(row[key]) for key in comparison.cell_keys), []).append(row)
    return [_cell(comparison, rows, metric) for rows in groups.values()]


def _cell(comparison: Comparison, rows: list[Row], metric: str) -> Cell:
    mean, sd, n = mean_sd(number(row[metric]) for row in rows)
    parameters, tokens = (mean_sd(number(row[name]) for row in rows)[0] for name in ("parameters", "tokens"))
    keys = comparison.cell_keys
    return Cell({key: rows[0][key] for key in keys}, parameters, tokens, mean, sd if n > 1 else None, n)


def scaling_of(comparison: Comparison) -> dict[str, object]:
    """The fit to all cells with its intervals, and how well one to the others predicts the largest; Unidentified."""
    metric = loss_metric(comparison)
    cells = cells_of(comparison, metric)
    terms = identified_terms([cell.parameters for cell in cells], [cell.tokens for cell in cells])
    sizes, losses = arrays_of(cells, terms)
    best = fit(terms, sizes, losses)
    draws = bootstrap(best, sizes, losses)
    ends = intervals_of(draws)
    coefficients = {
        name: {"value": value, "low": ends[name][0], "high": ends[name][1]} for name, value in best.coefficients.items()
    }
    return {
        "metric": metric,
        "terms": list(terms),
        "coefficients": coefficients,
        "at_bound": best.at_bound,
        "cells": [
            {**vars(cell), "fitted": value} for cell, value in zip(cells, best.losses(sizes).tolist(), strict=True)
        ],
        "line": _line(cells, best, draws),
        "held_out": held_out(cells, terms),
    }


def arrays_of(cells: list[Cell], terms: tuple[Term, ...]) -> tuple[Floats, Floats]:
    """Sizes (cells, terms) and losses (cells,)."""
    return np.array([cell.size(terms) for cell in cells]), np.array([cell.loss for cell in cells])


def held_out(cells: list[Cell], terms: tuple[Term, ...]) -> dict[str, object]:
    """The largest cell, predicted by a fit that saw neither it nor another of its size and tokens."""
    cell = max(cells, key=lambda cell: (cell.parameters, cell.tokens))
    rest = [other for other in cells if any(len(distinct(pair)) > 1 for pair in zip(*_sizes(cell, other), strict=True))]
    found = fit(terms, *arrays_of(rest, terms))
    predicted = float(found.losses(np.array([cell.size(terms)]))[0])
    return {
        **vars(cell),
        "predicted": predicted,
        "error": predicted - cell.loss,
        "relative_error": predicted / cell.loss - 1,
        "cells_seen": len(rest),
        "coefficients": found.coefficients,
    }


def _sizes(one: Cell, other: Cell) -> list[list[float]]:
    return [[cell.parameters, cell.tokens] for cell in (one, other)]


def _line(cells: list[Cell], best: Fit, draws: list[Fit]) -> dict[str, object]:
    """The fitted loss over parameters with its 95 % band, at the most tokens that a cell was trained on."""
    sizes = [cell.parameters for cell in cells]
    across = np.geomspace(min(sizes), 2 * max(sizes), LINE_POINTS)
    tokens = max(cell.tokens for cell in cells)
    columns = {"parameters": across, "tokens": np.full(LINE_POINTS, tokens)}
    grid = np.stack([columns[term] for term in best.terms], axis=1)  # (LINE_POINTS, terms)
    drawn = np.array([one.losses(grid) for one in draws])  # (draws, LINE_POINTS)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return {
        "tokens": tokens,
        "parameters": across.tolist(),
        "loss": best.losses(grid).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }
