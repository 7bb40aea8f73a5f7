"""Cells against the best: scipy, statsmodels, numbers worked by hand, and simulated sweeps whose truth is known."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS

from lit_transformer.compare.significance import CellFit, Standings, against_best, fit_cells

CELLS, SEEDS = 12, 3
CELL, SEED = np.divmod(np.arange(CELLS * SEEDS), SEEDS)


def compared(values: np.ndarray, kept: np.ndarray | None = None, draws: int = 2000) -> Standings:
    """The standings of a grid (cells, seeds) of losses, or of the runs `kept` of it."""
    chosen = np.arange(values.size) if kept is None else np.flatnonzero(kept)
    cell, seed = np.divmod(chosen, values.shape[1])
    fit = fit_cells(cell, seed, values.ravel()[chosen], cells=len(values))
    assert fit is not None
    found = against_best(fit, lower_is_better=True, draws=draws)
    assert found is not None
    return found


def test_two_cells_by_hand() -> None:
    """Losses 1, 3 and 2, 6: means 2 and 4, residuals of 0.5 each, so sd 1 with one degree of freedom, and t = 2."""
    fit = fit_cells(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([1.0, 3.0, 2.0, 6.0]), cells=2)
    assert fit is not None and fit.means == pytest.approx([2, 4]) and (fit.sd, fit.df) == (pytest.approx(1.0), 1)
    found = against_best(fit, lower_is_better=True)
    assert found is not None and found.best == 0 and found.behind == pytest.approx([0, 2]) and not found.worse.any()
    assert found.p[1] == pytest.approx(2 * stats.t.sf(2, 1), abs=0.01)  # a paired t-test: 0.295
    assert found.high[1] == pytest.approx(2 + stats.t.ppf(0.975, 1), rel=0.05)


@pytest.mark.parametrize("lost", [0, 4])
def test_model_is_that_of_statsmodels_with_and_without_missing_runs(lost: int) -> None:
    random = np.random.default_rng(lost)
    kept = np.ones(CELLS * SEEDS, dtype=bool)
    kept[random.choice(CELLS * SEEDS, lost, replace=False)] = False
    cell, seed, value = CELL[kept], SEED[kept], random.normal(size=int(kept.sum())) + 3 * SEED[kept]
    fit = fit_cells(cell, seed, value, cells=CELLS)
    design = np.hstack([cell[:, None] == np.arange(CELLS), seed[:, None] == np.arange(1, SEEDS)]).astype(float)
    peer = OLS(value, design).fit()
    assert fit is not None and (fit.df, fit.sd) == (peer.df_resid, pytest.approx(math.sqrt(peer.scale)))
    for other in range(1, CELLS):
        contrast = np.zeros(design.shape[1])
        contrast[[0, other]] = 1, -1
        test = peer.t_test(contrast)
        error = fit.sd * math.sqrt(contrast[:CELLS] @ fit.covariance @ contrast[:CELLS])
        assert (fit.means[0] - fit.means[other], error) == pytest.approx((test.effect[0], test.sd[0, 0]))


@pytest.mark.parametrize("counts", [[4, 4, 4, 4, 4, 4], [3, 6, 4, 5, 3, 4]])
def test_worst_cell_and_all_intervals_are_those_of_tukey(counts: list[int]) -> None:
    """Without seeds in common the model is one-way, which scipy knows; Tukey and Kramer err a little with unequal n."""
    random = np.random.default_rng(1)
    groups = [random.normal(loc=0.4 * index, size=count) for index, count in enumerate(counts)]
    peer = stats.tukey_hsd(*groups)
    df = sum(counts) - len(counts)
    sd = math.sqrt(sum(((group - group.mean()) ** 2).sum() for group in groups) / df)
    means = np.array([group.mean() for group in groups])
    fit = CellFit(means=means, covariance=np.diag(1 / np.array(counts)), sd=sd, df=df)
    found = against_best(fit, lower_is_better=True)
    assert found is not None
    worst, best = int(means.argmax()), int(means.argmin())
    assert found.best == best and found.p[worst] == pytest.approx(peer.pvalue[worst, best], abs=0.01)
    interval = peer.confidence_interval(0.95)
    assert found.high == pytest.approx(np.where(np.arange(6) == best, 0, interval.high[:, best]), rel=0.02)
    open_end = ~found.worse & (np.arange(6) != best)
    assert found.low[open_end] == pytest.approx(interval.low[open_end, best], rel=0.05, abs=0.02)


def test_range_of_cells_with_common_seeds_is_the_studentized_one() -> None:
    values = np.random.default_rng(2).normal(size=(CELLS, SEEDS))
    found, df = compared(values, draws=50_000), (CELLS - 1) * (SEEDS - 1)
    fit = fit_cells(CELL, SEED, values.ravel(), cells=CELLS)
    assert fit is not None
    worst = int(found.behind.argmax())
    expected = stats.studentized_range.sf(found.behind[worst] / (fit.sd / math.sqrt(SEEDS)), CELLS, df)
    assert found.p[worst] == pytest.approx(expected, abs=0.01)


def false_alarms(random: np.random.Generator, sweeps: int, equal: int, lost: int = 0) -> int:
    """In how many sweeps a cell is said to be worse of the first `equal`, which share the best mean; the rest are worse
    by 1 to 6 sd. A seed moves all cells by 3 sd."""
    count = 0
    for _ in range(sweeps):
        values = random.normal(size=(CELLS, SEEDS)) + 3 * random.normal(size=(1, SEEDS))
        values[equal:] += random.uniform(1, 6, size=(CELLS - equal, 1))
        kept = np.ones(CELLS * SEEDS, dtype=bool)
        kept[random.choice(CELLS * SEEDS, lost, replace=False)] = False
        count += bool(compared(values, kept).worse[:equal].any())
    return count


@pytest.mark.parametrize(("equal", "lost", "sweeps"), [(CELLS, 0, 500), (4, 0, 200), (CELLS, 5, 150)])
def test_false_alarms_of_a_whole_sweep_are_5_percent_at_most(equal: int, lost: int, sweeps: int) -> None:
    alarms = false_alarms(np.random.default_rng(10 + lost + equal), sweeps, equal, lost)
    assert stats.binomtest(alarms, sweeps, 0.05, alternative="greater").pvalue > 0.05, alarms / sweeps


@pytest.mark.parametrize(("planted", "least"), [("one worse", 0.95), ("half worse", 0.95), ("one better", 0.9)])
def test_difference_of_four_sd_is_found_with_three_seeds(planted: str, least: float) -> None:
    random, found = np.random.default_rng(20), []
    effect = np.zeros((CELLS, 1))
    effect[{"one worse": slice(0, 1), "half worse": slice(0, 6), "one better": slice(0, 11)}[planted]] = 4.0
    for _ in range(150):
        values = random.normal(size=(CELLS, SEEDS)) + 3 * random.normal(size=(1, SEEDS)) + effect
        found.append(compared(values).worse[effect[:, 0] > 0].mean())
    assert np.mean(found) >= least


def test_tests_that_take_the_best_as_given_would_alarm_too_often() -> None:
    """Why it is neither Dunnett's nor Hsu's: of equal cells the best is far from some by being chosen."""
    random = np.random.default_rng(30)
    df = (CELLS - 1) * (SEEDS - 1)
    shape = (np.eye(CELLS - 1) + 1) / 2  # differences from one control, standardised
    dunnett, hsu = 2.997, 2.652
    t = stats.multivariate_t(shape=shape, df=df, seed=1)
    assert t.cdf(np.full(CELLS - 1, dunnett), lower_limit=np.full(CELLS - 1, -dunnett)) == pytest.approx(
        0.95, abs=0.003
    )
    assert t.cdf(np.full(CELLS - 1, hsu)) == pytest.approx(0.95, abs=0.003)
    means = random.normal(size=(4000, CELLS)) / np.sqrt(random.chisquare(df, (4000, 1)) / df)
    widest = np.ptp(means, axis=1) / math.sqrt(2)
    assert (widest > dunnett).mean() > 0.15 and (widest > hsu).mean() > 0.25


def test_cell_that_lacks_the_good_seed_is_not_the_worse_for_it() -> None:
    random = np.random.default_rng(40)
    values = 0.01 * random.normal(size=(4, 4)) + np.array([0.0, 1.0, 2.0, 3.0])
    kept = np.ones((4, 4), dtype=bool)
    kept[1, 0] = False  # of the seed that is 1.5 better than the average
    found = compared(values, kept.ravel())
    raw = np.where(kept, values, np.nan)
    assert np.nanmean(raw[1]) - np.nanmean(raw[0]) > 0.4 and abs(found.behind[1]) < 0.05 and not found.worse.any()


def test_cells_that_no_seed_joins_are_not_compared() -> None:
    cell, seed = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 0, 1, 7])
    fit = fit_cells(cell, seed, np.array([1.0, 2.1, 2.0, 3.0, 5.0, 6.2, 0.1]), cells=5)
    assert fit is not None and fit.comparable.tolist() == [0, 1, 2]
    found = against_best(fit, lower_is_better=True)
    assert found is not None and found.best == 0 and np.isnan(found.behind[3:]).all() and not found.worse[3:].any()


@pytest.mark.parametrize(
    ("cell", "seed", "value"),
    [([], [], []), ([0, 1, 2], [0, 0, 0], [1, 2, 3]), ([0, 0], [0, 1], [1, 2]), ([0, 1], [0, 1], [1, 2])],
)
def test_without_a_degree_of_freedom_there_is_no_model(cell: list[int], seed: list[int], value: list[float]) -> None:
    assert fit_cells(np.array(cell, int), np.array(seed, int), np.array(value, float), cells=3) is None


def test_without_noise_nothing_is_compared_and_the_other_goal_mirrors() -> None:
    values = np.arange(4.0)[:, None] + np.zeros((4, 3))
    cell, seed = np.divmod(np.arange(12), 3)
    fit = fit_cells(cell, seed, np.zeros(12), cells=4)
    assert fit is not None and against_best(fit, lower_is_better=True) is None
    noisy = values + np.random.default_rng(50).normal(size=values.shape)
    up, down = (fit_cells(cell, seed, sign * noisy.ravel(), cells=4) for sign in (1, -1))
    assert up is not None and down is not None
    a, b = against_best(up, lower_is_better=False), against_best(down, lower_is_better=True)
    assert a is not None and b is not None and a.best == b.best == 3
    assert a.behind == pytest.approx(b.behind) and a.p.tolist() == b.p.tolist()
