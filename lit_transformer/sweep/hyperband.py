"""W&B's hyperband: which running trials stop, as the engine behind W&B's sweeps decides it.

Bands count the values that a run has logged of the sweep's metric, not its steps; what is no finite number does not
count. At a band the trials that have come so far are sorted by the value that they had there, and the threshold is the
one at 1/eta of them. A trial is compared at the last band that it has reached, again with every trial that reaches it
later: it stops where it is worse than the threshold, by its value at that band (`strict`, W&B's default), or by its
best value so far.

The rule is that of the main branch of W&B's `sweeps`, which its server runs. Release 0.2.0 of the package is older: it
knows no `strict` and takes the value one after the band.
"""

from collections.abc import Sequence

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.verdict import Goal, Verdict, rank

ETA = 3.0
_MOST_BANDS = 100
_FARTHEST = 2**53
"""No run logs as many values."""


def bands(*, min_iter: float | None = None, max_iter: float | None = None, s: int = 0, eta: float = ETA) -> list[int]:
    """The bands, ascending: up from `min_iter`, or `s` of them down from `max_iter`, which W&B looks at first.

    Raises UserError where there would be none.
    """
    found: list[int] = []
    if max_iter is not None:
        band = float(max_iter)
        for _ in range(int(s)):
            band /= eta
            if band < 1:
                break
            found.append(int(band))
    elif min_iter is not None:
        band = float(min_iter)
        while len(found) < _MOST_BANDS and band < _FARTHEST:
            found.append(int(band))
            band *= eta
    if not found:
        got = f"max_iter {max_iter}, s {s}, eta {eta:g}" if max_iter is not None else "neither min_iter nor max_iter"
        raise UserError(
            "early_terminate: no band comes of it\n"
            f"  got      {got}\n"
            "  allowed  min_iter, or max_iter with s of 1 or more and max_iter / eta of 1 or more\n"
            "  fix      write early_terminate: {type: hyperband, min_iter: 3}"
        )
    return sorted(found)


def decide(
    history: Sequence[float],
    histories: Sequence[Sequence[float]],
    bands: Sequence[int],
    *,
    metric: str,
    eta: float = ETA,
    goal: Goal = "minimize",
    strict: bool = True,
) -> Verdict | None:
    """Whether a running trial stops; None before the first band.

    `history` holds its finite values in order, `histories` those of all trials, its own among them.
    """
    band = max((band for band in bands if band <= len(history)), default=None)
    if band is None:
        return None
    reached = sorted((values[band - 1] for values in histories if len(values) >= band), reverse=goal == "maximize")
    threshold = reached[int(len(reached) * (1.0 / eta))]
    best = min(history) if goal == "minimize" else max(history)
    value = history[band - 1] if strict else best
    worse = value > threshold if goal == "minimize" else value < threshold
    return Verdict(
        stop=worse, rule="hyperband", metric=metric, band=band, value=value, threshold=threshold,
        rank=rank(value, reached, goal), of=len(reached),
    )  # fmt: skip
