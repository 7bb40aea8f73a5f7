"""Optuna's asynchronous successive halving, asked for with `sweep run --stopper asha`.

A sweep file stays in W&B's grammar, which knows hyperband alone: the option replaces the rule and keeps the file's
numbers (`min_iter` is the least resource, `eta` the factor between rungs), so that the same file runs on W&B's server.
The other difference from hyperband: a trial is judged once at each rung, by its value there and among those that came
as far so far, and only the best 1/eta go on; the first ones to come go on when they are the best of those before them.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.verdict import Goal, Verdict, rank

if TYPE_CHECKING:
    import optuna

LEAST = 1
FACTOR = 4
"""Optuna's own."""


def rungs(count: int, least: int, factor: int) -> list[int]:
    """The rungs that a trial with so many values has reached: numbers of values."""
    found = []
    rung = least
    while rung <= count:
        found.append(rung)
        rung *= factor
    return found


def decide(
    history: Sequence[float],
    histories: Sequence[Sequence[float]],
    *,
    metric: str,
    least: int = LEAST,
    factor: int = FACTOR,
    goal: Goal = "minimize",
) -> Verdict | None:
    """What Optuna's pruner says at the newest rung of a trial; None before the first.

    `history` holds its finite values in order, `histories` those of the other trials, its own not among them.
    """
    import optuna

    reached = rungs(len(history), least, factor)
    if not reached:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=factor)
    study = optuna.create_study(direction=goal, pruner=pruner)
    for values in histories:
        _replay(study, values, rungs(len(values), least, factor))
    stop = _replay(study, history, reached)
    band, value = reached[-1], history[reached[-1] - 1]
    others = [values[band - 1] for values in histories if len(values) >= band]
    competing = sorted([*others, value], reverse=goal == "maximize")
    return Verdict(
        stop=stop, rule="asha", metric=metric, band=band, value=value,
        threshold=competing[max(len(competing) // factor, 1) - 1], rank=rank(value, competing, goal), of=len(competing),
    )  # fmt: skip


def _replay(study: "optuna.Study", values: Sequence[float], reached: Sequence[int]) -> bool:
    """Report a trial's values at its rungs, which is where the pruner looks; what it says at the last one."""
    trial = study.ask()
    stop = False
    for rung in reached:
        trial.report(values[rung - 1], rung)
        stop = trial.should_prune()
    return stop


def check_factor(eta: float) -> int:
    """`eta` as Optuna's factor, a whole number of 2 or more; raises UserError."""
    if eta < 2 or not math.isclose(eta, round(eta)):
        raise UserError(
            "early_terminate.eta: asynchronous halving divides by a whole number\n"
            f"  got      {eta:g} with --stopper asha\n"
            "  allowed  2, 3, 4, ...\n"
            "  fix      change eta, or leave out --stopper, for W&B's hyperband"
        )
    return round(eta)
