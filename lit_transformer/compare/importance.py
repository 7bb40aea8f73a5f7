"""Which swept settings matter: Optuna's PED-ANOVA for any search, an exact analysis of variance for a complete grid."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np
import pandas as pd
from scipy.special import fdtrc

from lit_transformer.compare.comparison import SEED, values_of
from lit_transformer.compare.plain import label, number
from lit_transformer.compare.plan import Goal
from lit_transformer.compare.statistics import rows_of

MIN_POINTS = 16
"""With fewer points the best of them say nothing about what made them so."""
MIN_TOP = 5
"""Points among the best that PED-ANOVA wants."""
MAX_CATEGORIES = 12
"""A number with more distinct values than these was drawn from a range."""
MAX_FACTORS = 6
NOISE, SEEDS = "noise", "seed"


@dataclass(frozen=True)
class Effect:
    """A share of the variance between the runs of a grid."""

    factors: tuple[str, ...]
    """The settings whose interaction it is; one alone is its main effect, `noise` what is left of the seeds."""
    sum_of_squares: float
    df: int
    share: float
    """Of all variance, 0 to 1; the shares of a grid sum to 1."""
    p: float
    """How often chance alone would make it so large; NaN where no seed tells what chance does."""


def ped_anova(cells: pd.DataFrame, factors: Sequence[str], goal: Goal) -> dict[str, float]:
    """How much each setting decides whether a point is among the best tenth (five at least), as shares that sum to 1.

    `cells` are those of `statistics.summarise` over `factors`; complete and pruned ones with a number count. Empty
    where fewer than 16 do, or no setting varies.
    """
    rows = [row for row in rows_of(cells) if math.isfinite(row["mean"]) and row["status"] in ("complete", "pruned")]
    varied = [key for key in factors if len({label(row[key]) for row in rows}) > 1]
    if len(rows) < MIN_POINTS or not varied:
        return {}
    import optuna

    spaces = {key: _distribution([row[key] for row in rows]) for key in varied}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=goal)
    for row in rows:
        params = {
            key: number(row[key]) if isinstance(space, optuna.distributions.FloatDistribution) else label(row[key])
            for key, space in spaces.items()
        }
        study.add_trial(optuna.create_trial(params=params, distributions=spaces, value=float(row["mean"])))
    share = min(0.5, max(0.1, MIN_TOP / len(rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an interface that may change: the version is pinned by the lock
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {str(key): float(value) for key, value in found.items() if math.isfinite(value)}


def _distribution(values: list[object]) -> "optuna.distributions.BaseDistribution":  # type: ignore[name-defined]  # noqa: F821
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    names = list(dict.fromkeys(label(value) for value in values))
    numbers = [number(value) for value in values]
    if len(names) <= MAX_CATEGORIES or not all(map(math.isfinite, numbers)):
        return CategoricalDistribution(names)
    low, high = min(numbers), max(numbers)
    return FloatDistribution(low, high, log=low > 0 and high / low >= 100)


def anova(runs: pd.DataFrame, factors: Sequence[str], metric: str) -> list[Effect]:
    """Every main effect and interaction of a complete grid, largest first, then the seed's own and the noise.

    `runs` are those of `read_runs`; complete ones count. With seeds, every cell needs the same ones; without, the
    largest interaction holds the noise too, and no effect has a p-value. Empty where the grid is not complete, nothing
    varies, or more than 6 settings do.
    """
    differs = (key for key in factors if len({label(value) for value in runs[key].tolist()}) > 1)
    varied = list(islice(differs, MAX_FACTORS + 1))
    grid = _grid(runs, varied, metric) if 0 < len(varied) <= MAX_FACTORS else None
    if grid is None:
        return []
    seeds = grid.shape[-1]
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(((grid - grid.mean()) ** 2).sum())
    if not 0 < total < math.inf:
        return []
    found: dict[tuple[str, ...], tuple[float, int]] = {}
    means = grid.mean(axis=-1)
    for size in range(1, len(varied) + 1):
        for chosen in combinations(range(len(varied)), size):
            names = tuple(varied[axis] for axis in chosen)
            df = math.prod(grid.shape[axis] - 1 for axis in chosen)
            found[names] = seeds * _square_of(means, chosen), df
    error, error_df = math.nan, 0
    if seeds > 1:
        spread = math.prod(means.shape) * float(((grid.mean(axis=tuple(range(means.ndim))) - grid.mean()) ** 2).sum())
        error_df = (math.prod(means.shape) - 1) * (seeds - 1)
        error = max(0.0, total - spread - sum(square for square, _ in found.values()))
    effects = [
        Effect(names, square, df, square / total, _p_value(square, df, error, error_df))
        for names, (square, df) in found.items()
    ]
    effects.sort(key=lambda effect: -effect.sum_of_squares)
    if seeds > 1:
        effects.append(
            Effect((SEEDS,), spread, seeds - 1, spread / total, _p_value(spread, seeds - 1, error, error_df))
        )
        effects.append(Effect((NOISE,), error, error_df, error / total, math.nan))
    return effects


def _grid(runs: pd.DataFrame, factors: list[str], metric: str) -> np.ndarray | None:
    """Values (levels of each factor ..., seeds); None where one is missing or there twice."""
    if metric not in runs or (SEED in factors):
        return None
    wanted = [*factors, "status", metric, *([SEED] if SEED in runs else [])]
    rows = [row for row in rows_of(runs[wanted]) if row["status"] == "complete"]
    seeded = SEED in runs and len({label(row[SEED]) for row in rows}) > 1
    axes = [*factors, *([SEED] if seeded else [])]
    places = [{label(value): index for index, value in enumerate(values_of(runs, key))} for key in axes]
    grid = np.full([len(place) for place in places], np.nan)
    for row in rows:
        at = tuple(place[label(row[key])] for place, key in zip(places, axes, strict=True))
        if not math.isnan(grid[at]):
            return None  # the same point twice: something else varies too
        grid[at] = number(row[metric])
    grid = grid if seeded else grid[..., None]
    return grid if np.isfinite(grid).all() else None


def _square_of(means: np.ndarray, chosen: tuple[int, ...]) -> float:
    """The sum of squares over all cells of the interaction of the axes `chosen`, by inclusion and exclusion."""
    effect = np.zeros_like(means)
    for size in range(len(chosen) + 1):
        for kept in combinations(chosen, size):
            others = tuple(axis for axis in range(means.ndim) if axis not in kept)
            effect = effect + (-1) ** (len(chosen) - size) * means.mean(axis=others, keepdims=True)
    return float((effect**2).sum())


def _p_value(square: float, df: int, error: float, error_df: int) -> float:
    """Of the F test; NaN where there is no error to hold it against."""
    if not error_df or not error > 0:
        return math.nan
    return float(fdtrc(df, error_df, (square / df) / (error / error_df)))
