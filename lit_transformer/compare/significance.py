"""Which cells are worse than the best by more than noise: one additive model cell + seed, and a test that knows that
the best was chosen by looking.

Dunnett's test and Hsu's comparison with the best take the control as given, or call cells tied that are: against the
best of 12 equal cells they find a difference in more than 15 and 25 of 100 sweeps. Here the error is kept over every
choice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lit_transformer.compare.statistics import LEVEL

DRAWS = 50_000
MIN_DRAWS = 2_000
MAX_ENTRIES = 60_000_000
"""Numbers drawn or compared at most for one test; a sweep of many cells takes fewer draws."""
BLOCK, PART = 4_000_000, 65_536
"""Numbers drawn at a time, which bounds the memory, and looked at in one go, which fit a core's cache."""


@dataclass(frozen=True)
class CellFit:
    """Means of cells over all seeds, by least squares of value = cell + seed."""

    means: np.ndarray
    """(cells,), NaN where a cell shares no seed, not even over others, with the rest."""
    covariance: np.ndarray
    """(cells, cells), of the means, as a multiple of the error's variance."""
    sd: float
    """The pooled standard deviation of one run, without what its seed does to all cells alike."""
    df: int
    """Degrees of freedom of `sd`."""

    @property
    def comparable(self) -> np.ndarray:
        """Positions of the cells that have a mean."""
        return np.flatnonzero(np.isfinite(self.means))

    def averaged(self, weights: np.ndarray) -> "CellFit":
        """The fit of weighted means of cells, weights (groups, cells)."""
        means = weights @ np.nan_to_num(self.means)
        lost = (np.abs(weights) > 0) @ ~np.isfinite(self.means)
        covariance = weights @ np.nan_to_num(self.covariance) @ weights.T
        return replace(self, means=np.where(lost, np.nan, means), covariance=covariance)


def fit_cells(cell: np.ndarray, seed: np.ndarray, value: np.ndarray, *, cells: int) -> CellFit | None:
    """The additive model of runs: `cell` (of `cells`) and `seed` (runs,) are positions, `value` (runs,) finite numbers.

    Missing runs make it unbalanced, which least squares allows for: a cell that lacks a good seed is not the worse for
    it. Cells that no chain of shared seeds joins to the largest group have no mean. None without a degree of freedom.
    """
    joined = _largest_group(cell, seed, cells)
    cell, seed, value = cell[joined], seed[joined], value[joined]
    kept, cell = np.unique(cell, return_inverse=True)
    known, seed = np.unique(seed, return_inverse=True)
    seeds = len(known)
    df = len(value) - len(kept) - seeds + 1
    if df < 1 or len(kept) < 2:
        return None
    design = np.zeros((len(value), len(kept) + seeds))
    rows = np.arange(len(value))
    design[rows, cell] = 1.0
    design[rows, len(kept) + seed] = 1.0
    design[:, len(kept) : -1] -= design[:, [-1]]  # seeds sum to zero: a cell's mean is that over all seeds
    design = design[:, :-1]
    inverse = np.linalg.inv(design.T @ design)
    with np.errstate(over="ignore", invalid="ignore"):  # values near 1e308 come to no number, and so to no standing
        coefficients = inverse @ design.T @ value
        residuals = value - design @ coefficients
        sd = float(np.sqrt(residuals @ residuals / df))
    means, covariance = np.full(cells, np.nan), np.full((cells, cells), np.nan)
    means[kept] = coefficients[: len(kept)]
    covariance[np.ix_(kept, kept)] = inverse[: len(kept), : len(kept)]
    return CellFit(means=means, covariance=covariance, sd=sd, df=df)


def _largest_group(cell: np.ndarray, seed: np.ndarray, cells: int) -> np.ndarray:
    """Which runs belong to the largest set of cells that shared seeds join; (runs,) of bool."""
    if not len(cell):
        return np.zeros(0, dtype=bool)
    nodes = cells + int(seed.max()) + 1
    edges = coo_array((np.ones(len(cell)), (cell, cells + seed)), shape=(nodes, nodes))
    group = connected_components(edges, directed=False)[1][cell]
    return group == np.bincount(group).argmax()


@dataclass(frozen=True)
class Standings:
    """Where every cell stands against the best; arrays (cells,), NaN or False for what could not be compared."""

    best: int
    behind: np.ndarray
    """By how much a cell's mean is worse than the best one's, 0 or more."""
    low: np.ndarray
    high: np.ndarray
    """Simultaneous 95 % interval of `behind` (Tukey and Kramer): all of them hold together, whichever cell is best."""
    p: np.ndarray
    """Adjusted p-value of `worse`."""
    worse: np.ndarray
    """Whether a better cell exists: in at most 5 of 100 sweeps is this said of any cell that is as good as the best.
    Where it is said, `low` is 0 at least."""


def against_best(
    fit: CellFit, *, lower_is_better: bool, level: float = LEVEL, draws: int = DRAWS, random_seed: int = 0
) -> Standings | None:
    """Compare every cell with the best: the multivariate t of the fit, drawn `draws` times from a fixed seed.

    None where the runs show no noise at all.
    """
    kept = fit.comparable
    if len(kept) < 2 or not 0 < fit.sd < np.inf:
        return None
    score = -fit.means[kept] if lower_is_better else fit.means[kept]
    covariance = fit.covariance[np.ix_(kept, kept)]
    noise = (fit.sd * block for block in _draw(covariance, fit.df, draws, random_seed))
    found = stand(score, noise, fit.sd * error_of(covariance), level)
    spread = {
        name: _spread(values, kept, len(fit.means))
        for name, values in vars(found).items()
        if name not in ("best", "worse")
    }
    worse = np.zeros(len(fit.means), dtype=bool)
    worse[kept] = found.worse
    return Standings(best=int(kept[found.best]), worse=worse, **spread)


def error_of(covariance: np.ndarray) -> np.ndarray:
    """(cells, cells) -> standard errors of all differences; infinite on the diagonal, where there is none."""
    variance = np.diag(covariance)
    error = np.sqrt(np.maximum(variance[:, None] + variance[None, :] - 2 * covariance, 0.0))
    np.fill_diagonal(error, np.inf)
    return error


def stand(score: np.ndarray, noise: Iterable[np.ndarray], error: np.ndarray, level: float = LEVEL) -> Standings:
    """Standings of scores (cells,), higher is better, from blocks of draws of their noise, each (draws, cells), and
    `error_of` them.

    A step-down test of the largest distances from a better cell, closed, so the error holds whatever is true of the
    others: the worst cell is held against the largest distance among all cells (Tukey's range), the next one against
    the largest in which one of the cells left is the worse one, and so on to the first that is not worse.
    """
    error = np.where(error > 0, error, np.inf)  # two cells without noise between them are not told apart
    distance = ((score[None, :] - score[:, None]) / error).max(axis=1)  # (cells,) to whoever beats it
    order = np.argsort(-distance, kind="stable")
    beyond, largest = np.zeros(len(score), dtype=int), []
    for drawn in _parts(noise):
        distances = _distances(drawn, error)[:, order[::-1]]
        widest = np.maximum.accumulate(distances, axis=1)[:, ::-1]  # (draws, cells): among this one and the rest
        beyond += (widest >= distance[order]).sum(axis=0)
        largest.append(widest[:, 0])
    range_drawn = np.concatenate(largest)
    p = np.empty(len(score))
    p[order] = np.maximum.accumulate(beyond / len(range_drawn))
    best = int(score.argmax())
    p[best] = 1.0
    worse = p < 1 - level
    behind = score[best] - score
    margin = np.quantile(range_drawn, level) * np.where(np.isinf(error[best]), 0.0, error[best])
    low = np.where(worse, np.maximum(behind - margin, 0.0), behind - margin)
    return Standings(best=best, behind=behind, low=low, high=behind + margin, p=p, worse=worse)


def _spread(values: np.ndarray, kept: np.ndarray, count: int) -> np.ndarray:
    full = np.full(count, np.nan)
    full[kept] = values
    return full


def _parts(noise: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The draws (draws, cells) a few at a time."""
    for block in noise:
        few = max(1, PART // block.shape[1])
        yield from (block[first : first + few] for first in range(0, len(block), few))


def _draw(covariance: np.ndarray, df: int, draws: int, random_seed: int) -> Iterator[np.ndarray]:
    """Draws of the means of equal cells in units of the pooled sd, blocks (draws, cells): fewer ones of many cells."""
    count = len(covariance)
    each = count if _equal(error_of(covariance)) else count * count
    draws = max(MIN_DRAWS, min(draws, MAX_ENTRIES // each))
    random = np.random.default_rng(random_seed)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))  # (cells, cells), root @ root.T = covariance
    for first in range(0, draws, BLOCK // count):
        rows = min(BLOCK // count, draws - first)
        noise: np.ndarray = random.standard_normal((rows, count)) @ root.T
        yield noise / np.sqrt(random.chisquare(df, (rows, 1)) / df)


def _equal(error: np.ndarray) -> bool:
    finite = error[np.isfinite(error)]
    return bool(len(finite) == len(error) * (len(error) - 1) and np.allclose(finite, finite[0], rtol=1e-9))


def _distances(noise: np.ndarray, error: np.ndarray) -> np.ndarray:
    """For each draw (draws, cells), how far each cell is behind the one that beats it most, in standard errors."""
    if _equal(error):
        return (noise.max(axis=1, keepdims=True) - noise) / error[0, 1]
    distances = np.empty_like(noise)
    for index in range(noise.shape[1]):
        distances[:, index] = ((noise - noise[:, [index]]) / error[index]).max(axis=1)
    return np.maximum(distances, 0.0)
