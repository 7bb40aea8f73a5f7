"""What curves are drawn against: steps, epochs, tokens, FLOPs or time, each from what the run itself noted."""

import math

import numpy as np
from numpy.typing import NDArray

from lit_transformer.compare.dashboard.live_run import LiveRun
from lit_transformer.compare.plain import number

AXES = ("step", "epoch", "tokens", "FLOPs", "seconds")
Floats = NDArray[np.float64]


def along(run: LiveRun, axis: str, steps: NDArray[np.int64]) -> Floats:
    """Where `steps` (points,) of a run lie on an axis (points,): NaN where the run did not note it."""
    if axis == "step":
        return steps.astype(np.float64)
    if axis == "seconds":
        return _noted(run, "seconds", steps)
    if axis == "epoch":
        return _noted(run, "epoch", steps)
    tokens = _tokens(run, steps)
    return tokens if axis == "tokens" else tokens * _flops_per_token(run)


def _noted(run: LiveRun, name: str, steps: NDArray[np.int64]) -> Floats:
    """A column of system.jsonl at other steps, on straight lines between its own; the first one begins at zero."""
    known, values = run.system().curve(name)
    good = np.isfinite(values)
    if not good.any():
        return np.full(len(steps), math.nan)
    at, value = np.append(0, known[good]), np.append(0.0, values[good])
    if steps.size and steps.max() > at[-1] and len(at) > 1:  # validation may be logged before the clock is read
        slope = (value[-1] - value[-2]) / max(at[-1] - at[-2], 1)
        at, value = np.append(at, steps.max()), np.append(value, value[-1] + slope * (steps.max() - at[-1]))
    interpolated: Floats = np.interp(steps, at, value)
    return interpolated


def _tokens(run: LiveRun, steps: NDArray[np.int64]) -> Floats:
    fields = run.row.fields
    each = _ratio(fields.get("tokens"), fields.get("steps"))
    return steps.astype(np.float64) * each if math.isfinite(each) else _noted(run, "tokens", steps)


def _flops_per_token(run: LiveRun) -> float:
    known = number(run.row.fields.get("flops_per_token"))
    if math.isfinite(known):
        return known
    speeds = [run.system().curve(name)[1][-1:] for name in ("flops_per_second", "tokens_per_second")]
    return _ratio(float(speeds[0][0]), float(speeds[1][0])) if all(len(speed) for speed in speeds) else math.nan


def _ratio(above: object, below: object) -> float:
    one, other = number(above), number(below)
    return one / other if other > 0 else math.nan
