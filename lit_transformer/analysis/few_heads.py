"""Does a network trained with few heads match a large one that is pruned to as many?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.analysis.heads import check_finite
from lit_transformer.analysis.importance import gradient_scores
from lit_transformer.analysis.pruning import least_first
from lit_transformer.analysis.subject import open_subject
from lit_transformer.compare.comparison import SEED, Comparison
from lit_transformer.compare.plain import label, whole
from lit_transformer.compare.statistics import Row, mean_interval, mean_sd, rows_of
from lit_transformer.config.errors import UserError

HEADS = "model.num_heads"


@dataclass
class Match:
    """One number of heads against the largest one, in cells that differ in nothing else; lists have one for a seed."""

    cell: dict[str, object]
    """The other swept settings."""
    heads: int
    largest: int
    seeds: list[object] = field(default_factory=list)
    trained: list[float] = field(default_factory=list)
    """val/loss of the networks trained with so many heads."""
    pruned: list[float] = field(default_factory=list)
    """val/loss of those with the most heads, pruned to as many in all, the least important by gradient first."""
    unpruned: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """With the mean of pruned minus trained, its 95 % interval over seeds (null with one), and what it says."""
        mean, sd, n = mean_sd([b - a for a, b in zip(self.trained, self.pruned, strict=True)])
        low, high = mean_interval(mean, sd, n)
        if math.isnan(low):
            verdict = "one seed"
        else:
            verdict = "trained" if low > 0 else "pruned" if high < 0 else "unclear"
        return {**vars(self), "difference": mean, "low": low, "high": high, "verdict": verdict}


@dataclass
class Series:
    """Runs of one seed that differ in their heads alone."""

    cell: dict[str, object]
    seed: object
    runs: dict[int, str]
    """Heads -> the run's name."""


def find_series(comparison: Comparison) -> list[Series]:
    """Complete runs in series over heads, of two numbers of heads or more; raises UserError where there is none."""
    runs = comparison.runs
    if HEADS not in comparison.swept:
        raise UserError(
            f"few heads against pruned ones needs a sweep over {HEADS}\n"
            f"  got      {', '.join(comparison.swept) or 'no swept setting'}\n"
            f"  fix      sweep {HEADS}, as sweeps/gpt_heads_layers.yaml does"
        )
    others = [key for key in comparison.swept if key not in (HEADS, SEED)]
    series: dict[tuple[str, ...], Series] = {}
    for row in rows_of(runs[runs["status"] == "complete"]):
        heads = whole(row[HEADS])
        if heads is not None and row.get("model.kind") != "segmenter":
            seed = row.get(SEED)
            found = series.setdefault((*(label(row[key]) for key in others), label(seed)), _series(row, others, seed))
            found.runs.setdefault(heads, str(row["run"]))
    several = [found for found in series.values() if len(found.runs) > 1]
    if not several:
        raise UserError(
            "few heads against pruned ones needs complete cells that differ in their heads alone\n"
            f"  got      {len(series)} complete of one number of heads each\n"
            "  fix      let the sweep end: lit-transformer sweep run FILE goes on"
        )
    return several


def _series(row: Row, others: Sequence[str], seed: object) -> Series:
    return Series({key: row[key] for key in others}, seed, {})


def passes(series: Sequence[Series], batches: int) -> int:
    """How often a batch goes through a network in `match_heads`, where each split has so many."""
    return batches * sum(2 * len(found.runs) for found in series)


def match_heads(
    directory: Path, series: Sequence[Series], *, batches: int, device: str, advance: Callable[[], None]
) -> list[Match]:
    """Measure every series on the same validation batches; raises UserError where a run cannot be opened."""
    matches: dict[tuple[str, int, int], Match] = {}
    for found in series:
        largest, *rest = sorted(found.runs, reverse=True)
        pruned = pruned_losses(directory / found.runs[largest], largest, rest, batches, device, advance)
        for heads in rest:
            trained = open_subject(directory / found.runs[heads], batches=batches, device=device)
            trained.advance = advance
            metrics = trained.metrics()
            check_finite(directory / found.runs[heads], metrics)
            key = (str(sorted((name, label(value)) for name, value in found.cell.items())), heads, largest)
            match = matches.setdefault(key, Match(found.cell, heads, largest))
            match.seeds.append(found.seed)
            match.trained.append(metrics["val/loss"])
            match.pruned.append(pruned[heads])
            match.unpruned.append(pruned[largest])
    return list(matches.values())


def pruned_losses(
    path: Path, heads: int, fewer: Sequence[int], batches: int, device: str, advance: Callable[[], None]
) -> Mapping[int, float]:
    """val/loss of a run with all of its heads, and pruned to as many as networks with `fewer` heads a layer have."""
    subject = open_subject(path, batches=batches, device=device)
    subject.advance = advance
    metrics = subject.metrics()
    check_finite(path, metrics)
    order = least_first(gradient_scores(subject))
    gone = {count: len(order) - round(len(order) * count / heads) for count in fewer}
    return {heads: metrics["val/loss"], **{count: subject.loss(order[:removed]) for count, removed in gone.items()}}
