"""The 18 distributions of W&B's sweep grammar: a value for every u in [0, 1], as W&B's `sweeps` package computes it.

Where W&B's own answer at u = 0 or 1 lies outside the distribution (an integer below `min`, the least instead of the
greatest integer), the nearest value inside stands here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol


class Distribution(Protocol):
    """What a parameter is drawn from."""

    def ppf(self, u: float) -> object:
        """The value below which a share u of the distribution lies; u in [0, 1]."""
        ...


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One value."""

    value: object

    def ppf(self, u: float) -> object:
        return self.value


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """Values that are equally likely."""

    values: Sequence[object]

    def ppf(self, u: float) -> object:
        return self.values[_index(u, len(self.values))]


@dataclass(frozen=True, kw_only=True)
class CategoricalWithProbabilities:
    """Values with their probabilities."""

    values: Sequence[object]
    probabilities: Sequence[float]

    def ppf(self, u: float) -> object:
        """The first value whose cumulated probability exceeds u; where rounding leaves none, the first, as in W&B."""
        reached = enumerate(accumulate(self.probabilities))
        return self.values[next((index for index, share in reached if share > u), 0)]


@dataclass(frozen=True, kw_only=True)
class IntUniform:
    """Integers from `min` to `max`, both included."""

    min: int
    max: int

    def ppf(self, u: float) -> int:
        return self.min + _index(u, self.max - self.min + 1)


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """Numbers from `min` to `max`."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        return _between(u, self.min, self.max)


@dataclass(frozen=True, kw_only=True)
class QUniform(Uniform):
    """`Uniform`, rounded to a multiple of `q`, which may lie outside of its bounds."""

    q: float = 1.0

    def ppf(self, u: float) -> float:
        return _rounded(super().ppf(u), self.q)


@dataclass(frozen=True, kw_only=True)
class LogUniform:
    """Numbers whose logarithms are uniform; `min` and `max` are exponents of e."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        return math.exp(_between(u, self.min, self.max))


@dataclass(frozen=True, kw_only=True)
class QLogUniform(LogUniform):
    """`LogUniform`, rounded to a multiple of `q`."""

    q: float = 1.0

    def ppf(self, u: float) -> float:
        return _rounded(super().ppf(u), self.q)


@dataclass(frozen=True, kw_only=True)
class LogUniformValues:
    """Numbers from `min` to `max` whose logarithms are uniform."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        return math.exp(_between(u, math.log(self.min), math.log(self.max)))


@dataclass(frozen=True, kw_only=True)
class QLogUniformValues(LogUniformValues):
    """`LogUniformValues`, rounded to a multiple of `q`."""

    q: float = 1.0

    def ppf(self, u: float) -> float:
        return _rounded(super().ppf(u), self.q)


@dataclass(frozen=True, kw_only=True)
class InvLogUniform:
    """Numbers x with log(1/x) uniform from `min` to `max`, which are exponents of e."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        return math.exp(-_between(1 - u, self.min, self.max))


@dataclass(frozen=True, kw_only=True)
class InvLogUniformValues:
    """Numbers from `min` to `max` with log(1/x) uniform."""

    min: float
    max: float

    def ppf(self, u: float) -> float:
        return math.exp(-_between(1 - u, -math.log(self.max), -math.log(self.min)))


@dataclass(frozen=True, kw_only=True)
class Normal:
    """Normally distributed numbers."""

    mu: float = 0.0
    sigma: float = 1.0

    def ppf(self, u: float) -> float:
        return _standard_normal(u) * self.sigma + self.mu


@dataclass(frozen=True, kw_only=True)
class QNormal(Normal):
    """`Normal`, rounded to a multiple of `q`."""

    q: float = 1.0

    def ppf(self, u: float) -> float:
        return _rounded(super().ppf(u), self.q)


@dataclass(frozen=True, kw_only=True)
class LogNormal:
    """Numbers whose logarithms are normally distributed."""

    mu: float = 0.0
    sigma: float = 1.0

    def ppf(self, u: float) -> float:
        return math.exp(self.sigma * _standard_normal(u)) * math.exp(self.mu)


@dataclass(frozen=True, kw_only=True)
class QLogNormal(LogNormal):
    """`LogNormal`, rounded to a multiple of `q`."""

    q: float = 1.0

    def ppf(self, u: float) -> float:
        return _rounded(super().ppf(u), self.q)


@dataclass(frozen=True, kw_only=True)
class Beta:
    """The beta distribution, between 0 and 1."""

    a: float = 1.0
    b: float = 1.0

    def ppf(self, u: float) -> float:
        from scipy.special import betaincinv  # 0.2 s, and only who draws from it needs it

        return float(betaincinv(self.a, self.b, u))


@dataclass(frozen=True, kw_only=True)
class QBeta(Beta):
    """`Beta`, rounded to a multiple of `q`."""

    q: float = 1.0

    def ppf(self, u: float) -> float:
        return _rounded(super().ppf(u), self.q)


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    "constant": Constant,
    "categorical": Categorical,
    "categorical_w_probabilities": CategoricalWithProbabilities,
    "int_uniform": IntUniform,
    "uniform": Uniform,
    "q_uniform": QUniform,
    "log_uniform": LogUniform,
    "log_uniform_values": LogUniformValues,
    "q_log_uniform": QLogUniform,
    "q_log_uniform_values": QLogUniformValues,
    "inv_log_uniform": InvLogUniform,
    "inv_log_uniform_values": InvLogUniformValues,
    "normal": Normal,
    "q_normal": QNormal,
    "log_normal": LogNormal,
    "q_log_normal": QLogNormal,
    "beta": Beta,
    "q_beta": QBeta,
}
"""W&B's name of a distribution -> its class, whose fields are the keys that it takes."""


def _between(u: float, low: float, high: float) -> float:
    return u * (high - low) + low


def _index(u: float, count: int) -> int:
    """Which of `count` equal parts u lies in, a boundary in the lower one, as in SciPy's discrete distributions."""
    index = max(0, math.ceil(u * count) - 1)
    return index - 1 if index and index / count >= u else index


def _rounded(value: float, q: float) -> float:
    """The nearest multiple of q, an even one where two are as near; an integer where q is one."""
    if not math.isfinite(value):
        return value
    return round(value / q) * q


def _standard_normal(u: float) -> float:
    from scipy.special import ndtri  # 0.2 s, and only who draws from it needs it

    return float(ndtri(u))
