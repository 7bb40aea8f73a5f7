"""Logarithmic axes with labels at round values."""

import math
from itertools import pairwise

from lit_transformer.compare.style import axis, figure_of, si


def log_axis(title: str, values: list[float], metric: str | None = None) -> dict[str, object]:
    """A logarithmic axis with labels at round values; a linear one where a value is not positive."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0:
        return axis(title)
    low, high = math.log10(min(finite)), math.log10(max(finite))
    pad = 0.08 * (high - low) or 0.05
    ticks = _own_ticks(finite) or _ticks(10 ** (low - pad), 10 ** (high + pad))
    text = [figure_of(metric, tick).rstrip("0").rstrip(".") if metric and "/" in metric else si(tick) for tick in ticks]
    return axis(title, type="log", range=[low - pad, high + pad], tickvals=ticks, ticktext=text)


def _own_ticks(values: list[float]) -> list[float]:
    """The values themselves where they are few and far enough apart for their labels."""
    distinct = sorted(set(values))
    total = math.log10(distinct[-1] / distinct[0]) if distinct else 0.0
    gaps = [math.log10(b / a) for a, b in pairwise(distinct)]
    return distinct if len(distinct) <= 6 and all(gap > 0.16 * total for gap in gaps) else []


def _ticks(low: float, high: float) -> list[float]:
    """About five round values between `low` and `high`: 1, 2, 5 a decade over decades, evenly spaced within one."""
    if high / low > 20:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (1, 2, 5) if high / low < 2e3 else (1,)
        return [
            factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high
        ]
    return _even(low, high)


def _even(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first = math.ceil(low / step)
    return [float(f"{step * index:.10g}") for index in range(first, math.floor(high / step) + 1)]


def round_ticks(low: float, high: float, *, log: bool) -> list[float]:
    """A few round values from `low` to `high`, both finite; the two themselves where none is round."""
    if not high > low:
        return [low]
    ticks = _ticks(low, high) if log else _even(low, high)
    return ticks if len(ticks) > 1 else [low, high]
