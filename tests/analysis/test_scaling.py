"""Scaling fits find planted coefficients, tell how sure they are, and refuse what cannot be told."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from lit_transformer.analysis import scaling
from lit_transformer.analysis.scaling import Unidentified, bootstrap, distinct, fit, identified_terms, intervals

HOFFMANN = {"E": 1.69, "A": 406.4, "alpha": 0.34, "B": 410.7, "beta": 0.28}
"""Their fit (section D.3)."""
SIZES = np.array([1e6, 3e6, 1e7, 3e7, 1e8, 3e8])
TOKENS = np.array([2e7, 1e8, 5e8, 2.5e9])


def planted(sizes, noise=0.0, seed=0):
    """Losses at sizes (points, 1 or 2) by the planted law."""
    law = HOFFMANN
    losses = law["E"] + law["A"] / sizes[:, 0] ** law["alpha"]
    if sizes.shape[1] == 2:
        losses = losses + law["B"] / sizes[:, 1] ** law["beta"]
    return losses * np.exp(noise * np.random.default_rng(seed).normal(size=len(losses)))


GRID = np.array([(size, tokens) for size in SIZES for tokens in TOKENS])
CASES = {("parameters",): SIZES[:, None], ("parameters", "tokens"): GRID}


@pytest.mark.parametrize("terms", CASES)
def test_planted_coefficients_are_found(terms):
    sizes = CASES[terms]
    found = fit(terms, sizes, planted(sizes))
    assert found.coefficients == pytest.approx({name: HOFFMANN[name] for name in found.coefficients}, rel=1e-4)
    assert not found.at_bound
    elsewhere = np.full((1, len(terms)), 1e9)
    assert found.losses(elsewhere) == pytest.approx(planted(elsewhere), rel=1e-5)


@pytest.mark.parametrize("terms", CASES)
def test_gradients_are_finite_differences(terms):
    centred = np.log(CASES[terms]) - np.log(CASES[terms]).mean(0)
    logs = np.log(planted(CASES[terms], noise=0.01))
    theta = np.array([0.3, 0.1, 0.4, -0.5, 0.2])[: 1 + 2 * len(terms)]
    numeric = approx_fprime(theta, lambda x: scaling._objective(x, centred, logs)[0], 1e-8)
    np.testing.assert_allclose(scaling._objective(theta, centred, logs)[1], numeric, rtol=1e-4)


def test_one_bad_run_moves_the_fit_little():
    losses = planted(GRID, noise=1e-4)
    losses[7] *= 1.3
    assert fit(("parameters", "tokens"), GRID, losses).coefficients["alpha"] == pytest.approx(0.34, rel=0.02)


@pytest.mark.parametrize("seed", [0, 1])
def test_intervals_of_the_bootstrap_cover_the_planted_coefficients_and_shrink_with_the_noise(seed):
    terms, wide = ("parameters", "tokens"), {}
    for noise in (0.002, 0.02):
        losses = planted(GRID, noise=noise, seed=seed)
        found = intervals(bootstrap(fit(terms, GRID, losses), GRID, losses, draws=60))
        assert all(low <= HOFFMANN[name] <= high for name, (low, high) in found.items()), found
        wide[noise] = found["alpha"][1] - found["alpha"][0]
    assert 3 < wide[0.02] / wide[0.002] < 30


def test_without_noise_the_bootstrap_has_no_width():
    losses = planted(SIZES[:, None])
    best = fit(("parameters",), SIZES[:, None], losses)
    low, high = intervals(bootstrap(best, SIZES[:, None], losses, draws=5))["alpha"]
    assert low == pytest.approx(high, rel=1e-4)


def test_a_loss_that_does_not_fall_is_said():
    assert fit(("parameters",), SIZES[:, None], np.linspace(2.0, 3.0, 6)).at_bound == ["alpha"]


def test_terms_are_those_that_vary():
    assert identified_terms(SIZES, [1e7] * 6) == ("parameters",)
    assert identified_terms(GRID[:, 0], GRID[:, 1]) == ("parameters", "tokens")
    assert distinct([1.0, 1.02, 1.04, 1.2, 1.25, 3.0]) == [1.0, 1.2, 3.0]


@pytest.mark.parametrize(
    ("parameters", "tokens", "words"),
    [
        ([1e6, 2e6, 4e6], [1e7] * 3, "1,000,000, 2,000,000, 4,000,000 parameters"),
        ([1e6, 1.01e6, 0.99e6, 1.02e6, 0.98e6], [1e7] * 5, "980,000 parameters"),  # a budget's cells
        (SIZES, [1e7, 2e7] * 3, "10,000,000, 20,000,000 tokens"),
        (SIZES, 20 * SIZES, "correlation of their logarithms 1.000"),
        ([1e6, 2e6, 4e6, 8e6], [1e7, 4e7, 2e7, 8e7], "4 cells"),
    ],
)
def test_what_the_data_cannot_tell_is_refused(parameters, tokens, words):
    with pytest.raises(Unidentified, match="a scaling fit") as caught:
        identified_terms(parameters, tokens)
    text = str(caught.value)
    assert words in text and "\n  allowed  " in text and "\n  fix      " in text
