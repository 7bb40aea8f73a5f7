"""How a loss falls with size and data: L = E + A / N^alpha + B / D^beta (Hoffmann et al. 2022, section 3.3).

Their third approach: a Huber loss between logarithms, minimised by L-BFGS from several starts. Everything here is a
pure function of arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize

Floats = NDArray[np.float64]
Term = Literal["parameters", "tokens"]
NAMES: dict[Term, tuple[str, str]] = {"parameters": ("A", "alpha"), "tokens": ("B", "beta")}
"""Of each term its factor and its exponent."""

HUBER = 1e-3
"""Residuals of log L above this count by their size and no longer by its square (their section D.3)."""
EXPONENTS, SHARES = (0.2, 0.7), (0.2, 0.8)
"""Starts: exponents, and the share of the lowest loss that E is."""
POLISHED = 3
"""Of the starts, the best ones by L-BFGS that are followed to the end."""
MAX_EXPONENT = 5.0
SAME = 1.05
"""Sizes within this factor of one another count as one: a budget's cells are within 2 %."""
MIN_SIZES = 4
DRAWS = 200
QUICK: dict[str, Any] = {"tolerance": 1e-6, "steps": 40}
"""Of a bootstrap's fits, whose spread is what counts."""


class Unidentified(ValueError):
    """The data cannot tell the coefficients from one another; says what is there, what is needed and what to do."""


@dataclass(frozen=True)
class Fit:
    """Coefficients of one fit."""

    terms: tuple[Term, ...]
    theta: Floats
    """log E, then of each term log factor at the centre and exponent: (1 + 2 terms,)."""
    centre: Floats
    """Mean logarithm of each term's size: (terms,)."""

    def losses(self, sizes: Floats) -> Floats:
        """Predicted losses at sizes (points, terms): (points,)."""
        return np.exp(_log_losses(self.theta, np.log(sizes) - self.centre))

    @property
    def coefficients(self) -> dict[str, float]:
        """E, and A and alpha, B and beta as far as there are such terms."""
        found = {"E": float(np.exp(self.theta[0]))}
        for index, term in enumerate(self.terms):
            factor, exponent = NAMES[term]
            log_factor, power = self.theta[1 + 2 * index], self.theta[2 + 2 * index]
            found |= {
                factor: float(np.exp(log_factor + power * self.centre[index])),
                exponent: float(power),
            }
        return found

    @property
    def at_bound(self) -> list[str]:
        """Exponents that stand at the edge of what is allowed, which the data then do not determine."""
        exponents = {NAMES[term][1]: self.theta[2 + 2 * index] for index, term in enumerate(self.terms)}
        return [name for name, value in exponents.items() if not 1e-3 < value < MAX_EXPONENT - 1e-3]


def identified_terms(parameters: Sequence[float], tokens: Sequence[float]) -> tuple[Term, ...]:
    """The terms that cells of these sizes can determine; raises Unidentified."""
    sizes, amounts = distinct(parameters), distinct(tokens)
    if len(sizes) < MIN_SIZES:
        raise Unidentified(
            f"a scaling fit needs cells of more sizes\n  got      {_listed(sizes, 'parameters')}\n"
            f"  allowed  {MIN_SIZES} distinct numbers of parameters or more (those within 5 % count as one)\n"
            "  fix      sweep model.num_layers or model.d_model over more values, with no budget.parameters"
        )
    if len(amounts) == 1:
        return ("parameters",)
    if len(amounts) < MIN_SIZES:
        raise Unidentified(
            f"a scaling fit needs the same tokens in every cell, or more amounts of them\n"
            f"  got      {_listed(amounts, 'tokens')}\n  allowed  one, or {MIN_SIZES} distinct ones or more\n"
            "  fix      train every cell for the same steps, or sweep trainer.max_steps over more values"
        )
    together = abs(float(np.corrcoef(np.log(parameters), np.log(tokens))[0, 1]))
    if len(parameters) < 7 or together > 0.99:
        raise Unidentified(
            "a scaling fit over parameters and tokens needs cells that differ in each without the other\n"
            f"  got      {len(parameters)} cells, correlation of their logarithms {together:.3f}\n"
            "  allowed  7 cells or more, correlation below 0.99\n"
            "  fix      sweep sizes and trainer.max_steps as a grid"
        )
    return ("parameters", "tokens")


def distinct(values: Sequence[float]) -> list[float]:
    """The smallest of each group of values that lie within SAME of it, ascending."""
    found: list[float] = []
    for value in sorted(values):
        if not found or value > found[-1] * SAME:
            found.append(value)
    return found


def fit(terms: tuple[Term, ...], sizes: Floats, losses: Floats) -> Fit:
    """The best fit over all starts; sizes (points, terms) and losses (points,), all above 0."""
    centre = np.log(sizes).mean(axis=0)
    centred, logs = np.log(sizes) - centre, np.log(losses)
    found = [_descend(start, centred, logs) for start in _starts(terms, losses)]
    found = sorted(found, key=lambda theta: _objective(theta, centred, logs)[0])[:POLISHED]
    polished = [_polish(theta, centred, logs) for theta in found]
    return Fit(terms, min(polished, key=lambda theta: _objective(theta, centred, logs)[0]), centre)


def bootstrap(best: Fit, sizes: Floats, losses: Floats, *, draws: int = DRAWS, seed: int = 0) -> list[Fit]:
    """Fits to the predicted losses with residuals drawn anew, which keeps the design however few cells there are.

    Residuals of log L are widened by sqrt(n / (n - p)) for the p coefficients that were fitted to n points.
    """
    points, coefficients = len(losses), len(best.theta)
    centred = np.log(sizes) - best.centre
    predicted = _log_losses(best.theta, centred)
    residuals = (np.log(losses) - predicted) * np.sqrt(points / max(points - coefficients, 1))
    generator = np.random.default_rng(seed)
    drawn = (predicted + generator.choice(residuals, points) for _ in range(draws))
    return [Fit(best.terms, _polish(best.theta, centred, logs, **QUICK), best.centre) for logs in drawn]


def intervals(fits: Sequence[Fit], level: float = 0.95) -> dict[str, tuple[float, float]]:
    """The middle `level` of each coefficient over the bootstrap's fits."""
    tail = (1 - level) / 2
    values = {name: [one.coefficients[name] for one in fits] for name in fits[0].coefficients}
    return {
        name: (float(np.quantile(found, tail)), float(np.quantile(found, 1 - tail))) for name, found in values.items()
    }


def _listed(values: Sequence[float], what: str) -> str:
    return f"{', '.join(f'{value:,.0f}' for value in values[:6])} {what}{' and so on' if len(values) > 6 else ''}"


def _parts(theta: Floats, centred: Floats) -> Floats:
    """Logarithms of E and of each term: (points, 1 + terms)."""
    constant = np.full((len(centred), 1), theta[0])
    return np.hstack([constant, theta[1::2] - theta[2::2] * centred])


def _losses_and_shares(theta: Floats, centred: Floats) -> tuple[Floats, Floats]:
    """log L (points,), and the share of E and of each term in L, (points, 1 + terms)."""
    parts = _parts(theta, centred)
    top = parts.max(axis=1, keepdims=True)
    weights = np.exp(parts - top)  # scipy's logsumexp and softmax take five times as long
    total = weights.sum(axis=1, keepdims=True)
    return (top + np.log(total))[:, 0], weights / total


def _log_losses(theta: Floats, centred: Floats) -> Floats:
    return _losses_and_shares(theta, centred)[0]


def _slopes(shares: Floats, centred: Floats) -> Floats:
    """Derivatives of log L by theta: (points, coefficients)."""
    slopes = np.empty((len(centred), 2 * shares.shape[1] - 1))
    slopes[:, 0], slopes[:, 1::2], slopes[:, 2::2] = shares[:, 0], shares[:, 1:], -shares[:, 1:] * centred
    return slopes


def _objective(theta: Floats, centred: Floats, logs: Floats) -> tuple[float, Floats]:
    """Huber loss of the residuals in units of HUBER, and its gradient."""
    found, shares = _losses_and_shares(theta, centred)
    residuals = (found - logs) / HUBER
    clipped = np.clip(residuals, -1, 1)
    value = float((clipped * (residuals - clipped / 2)).sum())
    return value, clipped @ _slopes(shares, centred) / HUBER


def _bounds(logs: Floats, coefficients: int) -> tuple[Floats, Floats]:
    low, high = np.full(coefficients, logs.min() - 12), np.full(coefficients, logs.max() + 12)
    low[2::2], high[2::2] = 0, MAX_EXPONENT
    high[0] = logs.max()
    return low, high


def _starts(terms: tuple[Term, ...], losses: Floats) -> list[Floats]:
    starts = []
    for share, *powers in product(SHARES, *[EXPONENTS] * len(terms)):
        rest = np.log((np.median(losses) - share * losses.min()) / len(terms))
        starts.append(np.array([np.log(share * losses.min()), *(part for power in powers for part in (rest, power))]))
    return starts


def _descend(start: Floats, centred: Floats, logs: Floats) -> Floats:
    bounds = list(zip(*_bounds(logs, len(start)), strict=True))
    options = {"maxiter": 60}
    found: Floats = minimize(_objective, start, (centred, logs), "L-BFGS-B", jac=True, bounds=bounds, options=options).x
    return found


def _polish(theta: Floats, centred: Floats, logs: Floats, *, tolerance: float = 1e-14, steps: int = 200) -> Floats:
    """The same minimum by Gauss-Newton steps, which go on where the gradient of L-BFGS is lost in rounding."""
    low, high = _bounds(logs, len(theta))
    found = least_squares(
        lambda x: _log_losses(x, centred) - logs,
        np.clip(theta, low + 1e-9, high - 1e-9),
        lambda x: _slopes(_losses_and_shares(x, centred)[1], centred),
        bounds=(low, high),
        loss="huber",
        f_scale=HUBER,
        xtol=tolerance,
        ftol=tolerance,
        gtol=tolerance,
        max_nfev=steps,
    ).x
    better = _objective(found, centred, logs)[0] <= _objective(theta, centred, logs)[0]
    polished: Floats = found if better else theta
    return polished
