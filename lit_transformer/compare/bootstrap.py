"""Whether two networks differ on the rows they were tested on: the paired bootstrap of metrics of a whole corpus.

It answers for the test set alone (another draw of rows), not for another seed of training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lit_transformer.compare.significance import Standings, error_of, stand
from lit_transformer.compare.statistics import LEVEL

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

RESAMPLES = 2_000
CHUNK = 500

Score = Callable[[np.ndarray], np.ndarray]
"""Sums of a corpus' sufficient statistics (corpora, statistics) -> the metric of each (corpora,)."""


@dataclass(frozen=True)
class Bootstrapped:
    """A metric of several networks on the same rows."""

    values: np.ndarray
    """(networks,), on the rows as they are."""
    low: np.ndarray
    high: np.ndarray
    """95 % interval of each value by itself, by percentiles."""
    standings: Standings | None
    """Against the best, all of them together; None where no resample tells two apart."""


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU (0 to 100) by sacrebleu in its default settings: statistics are lengths, then matches, then n-grams."""
    from sacrebleu.metrics.bleu import BLEU

    return _by_sacrebleu(BLEU(), sums)


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF (0 to 100) by sacrebleu in its default settings."""
    from sacrebleu.metrics.chrf import CHRF

    return _by_sacrebleu(CHRF(), sums)


def _by_sacrebleu(metric: "Metric", sums: np.ndarray) -> np.ndarray:
    return np.array([metric._compute_score_from_stats(np.rint(row).astype(int).tolist()).score for row in sums])


def mean_iou(sums: np.ndarray) -> np.ndarray:
    """Mean intersection over union of flattened confusion matrices (corpora, classes * classes), rows the truth.

    The mean over the classes that truth or prediction has at all; 0 where no pixel counts.
    """
    classes = round(sums.shape[1] ** 0.5)
    matrices = sums.reshape(-1, classes, classes)
    hits = np.diagonal(matrices, axis1=1, axis2=2)  # (corpora, classes)
    union = matrices.sum(axis=1) + matrices.sum(axis=2) - hits
    there = union > 0
    shares = np.where(there, hits / np.where(there, union, 1.0), 0.0)
    return shares.sum(axis=1) / np.maximum(there.sum(axis=1), 1)


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first statistic over the second: a loss and its count, hits and rows."""
    return sums[:, 0] / np.where(sums[:, 1] != 0, sums[:, 1], np.nan)


SCORES: dict[str, Score] = {"bleu": bleu, "chrf": chrf, "mean_iou": mean_iou}
"""What is not simply a ratio of sums."""


def paired_bootstrap(
    statistics: Sequence[np.ndarray],
    score: Score,
    *,
    lower_is_better: bool = False,
    resamples: int = RESAMPLES,
    random_seed: int = 0,
) -> Bootstrapped:
    """Resample the rows, the same ones for every network, and compare each network with the best one.

    `statistics` has (rows, statistics) for each network, of the same rows in the same order. Raises ValueError where
    the shapes differ or there is no row.
    """
    shapes = {array.shape for array in statistics}
    if len(shapes) != 1 or not statistics[0].size:
        raise ValueError(f"statistics must be of the same rows, at least one: got shapes {sorted(shapes)}")
    random = np.random.default_rng(random_seed)
    rows = len(statistics[0])
    values = np.array([score(array.sum(axis=0, keepdims=True))[0] for array in statistics])
    drawn = np.empty((resamples, len(statistics)))
    for start in range(0, resamples, CHUNK):
        weights = random.multinomial(rows, np.full(rows, 1 / rows), size=min(CHUNK, resamples - start))  # (chunk, rows)
        for index, array in enumerate(statistics):
            drawn[start : start + CHUNK, index] = score(weights @ array)
    edges = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    sign = -1.0 if lower_is_better else 1.0
    standings = None
    if len(statistics) > 1:
        error = error_of(np.cov(drawn, rowvar=False))
        if (error[np.isfinite(error)] > 0).any():
            standings = stand(sign * values, [sign * (drawn - drawn.mean(axis=0))], error)
    return Bootstrapped(values=values, low=edges[0], high=edges[1], standings=standings)
