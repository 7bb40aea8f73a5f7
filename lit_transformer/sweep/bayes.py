"""Where a bayes sweep looks next: Optuna's samplers over u, rebuilt in memory from what has been seen.

Every parameter's value is ppf(u), so the samplers work in the unit cube, where log scales and bell shapes are straight.
Unordered lists of values are what Optuna calls categorical: over u, neighbours in the list would count as alike. The
first draws are uniform in u, so that a list's probabilities hold in them.

`python -m lit_transformer.sweep.bayes REQUEST.json ANSWER.json` is the same as a child: the Gaussian process needs
torch, which whoever runs a sweep stays free of. Request: the arguments of `suggest`. Answer: {"u": [...]}.
"""

import json
import math
import random
import sys
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_transformer.records.atomic import write_json
from lit_transformer.sweep.verdict import Goal

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

STARTUP = 10
"""Points that are drawn at random before a model is asked; Optuna's own number."""
INSIDE = 1e-9
"""How far from 0 and 1 every u stays: a bell shape is infinite there."""
Sampler = Literal["tpe", "gp"]
State = Literal["complete", "pruned", "failed", "running"]
Impute = Literal["best", "latest", "worst"]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One parameter that is searched."""

    key: str
    edges: tuple[float, ...] = ()
    """Of an unordered list of values: the u up to which each one reaches, ascending; none for a scale."""

    def category(self, u: float) -> int:
        """Which value of the list u stands for."""
        return min(bisect_left(self.edges, u), len(self.edges) - 1)

    def middle(self, category: int) -> float:
        """The u that stands for a value of the list."""
        return (self.edges[category] + (self.edges[category - 1] if category else 0.0)) / 2

    def possible(self) -> list[int]:
        """The values of the list that have a probability."""
        before = (0.0, *self.edges)
        return [index for index, edge in enumerate(self.edges) if edge > before[index]]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A point that was proposed, and what came of it."""

    u: tuple[float, ...]
    state: State
    """`failed` is whatever ended without a result to count on, `running` whatever has not ended."""
    values: tuple[float, ...] = ()
    """The metric as it was logged, finite values in order."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What a sweep searches, and how."""

    axes: tuple[Axis, ...]
    goal: Goal = "minimize"
    impute: Impute | None = None
    """W&B's key: what stands for a trial that failed, diverged or was pruned. Without it the worst value stands for the
    first two, and a pruned one is what Optuna's TPE makes of it: behind every complete one, ranked by how far it came.
    """
    impute_running: Impute | None = None
    """W&B's `impute_while_running`: what stands for a trial that has not ended. Without it Optuna's samplers take it
    for a bad one (the constant liar) or for one as expected, so that two workers do not look at one place.
    """
    sampler: Sampler = "tpe"
    seed: str = "0"
    """Another one draws other points."""


def suggest(search: Search, seen: Sequence[Seen], number: int, draw: int = 0) -> tuple[float, ...]:
    """The next point, each u in (0, 1): a function of the search, of what was seen and of the proposal's number.

    Another `draw` is another answer to the same question.
    """
    pick = random.Random(f"{search.seed}/{number}/{draw}")
    ended = sum(item.state != "running" and _ends(search, item, seen) for item in seen)
    if ended < STARTUP:
        return tuple(_settled(axis, pick.random()) for axis in search.axes)

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=search.goal, sampler=_sampler(search, pick.getrandbits(31)))
    scales = {axis.key: _scale(axis) for axis in search.axes}
    for item in seen:
        known = _trial(search, item, seen, scales)
        if known is not None:
            study.add_trial(known)
    params = study.ask(scales).params
    return tuple(
        axis.middle(params[axis.key]) if axis.edges else _settled(axis, params[axis.key]) for axis in search.axes
    )


def imputed(search: Search, item: Seen, seen: Sequence[Seen], default: Impute) -> float | None:
    """What stands for a trial without a result: its best or latest value, or the worst of all; None before any."""
    strategy = search.impute or default
    better, worse = (min, max) if search.goal == "minimize" else (max, min)
    if item.values and strategy != "worst":
        return better(item.values) if strategy == "best" else item.values[-1]
    known = [worse(other.values) for other in seen if other.values and other.state != "running"]
    return worse(known) if known else None


def _ends(search: Search, item: Seen, seen: Sequence[Seen]) -> bool:
    """Whether the samplers learn anything of it."""
    return bool(item.values) or imputed(search, item, seen, "worst") is not None


def _settled(axis: Axis, u: float) -> float:
    u = min(max(u, INSIDE), 1 - INSIDE)
    return axis.middle(axis.category(u)) if axis.edges else u


def _scale(axis: Axis) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return CategoricalDistribution(axis.possible()) if axis.edges else FloatDistribution(0.0, 1.0)


def _sampler(search: Search, seed: int) -> "BaseSampler":
    from optuna.samplers import GPSampler, TPESampler

    if search.sampler == "gp":
        return GPSampler(seed=seed, n_startup_trials=STARTUP)
    return TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)


def _trial(
    search: Search, item: Seen, seen: Sequence[Seen], scales: Mapping[str, "BaseDistribution"]
) -> "FrozenTrial | None":
    """A point as Optuna knows it; None where nothing can be said of it."""
    from optuna.trial import TrialState, create_trial

    params = {axis.key: axis.category(u) if axis.edges else u for axis, u in zip(search.axes, item.u, strict=True)}
    if item.state == "running" and (search.impute_running is None or not item.values):
        return create_trial(state=TrialState.RUNNING, params=params, distributions=dict(scales))
    if item.state == "pruned" and search.impute is None and search.sampler == "tpe" and item.values:
        reported = dict(enumerate(item.values, 1))
        return create_trial(
            state=TrialState.PRUNED, params=params, distributions=dict(scales), intermediate_values=reported
        )
    best = min if search.goal == "minimize" else max
    if item.state == "complete" and item.values:
        value: float | None = best(item.values)
    elif item.state == "running":
        value = imputed(replace(search, impute=search.impute_running), item, seen, "worst")
    else:
        value = imputed(search, item, seen, "latest" if item.state == "pruned" else "worst")
    if value is None or not math.isfinite(value):
        return None
    return create_trial(value=value, params=params, distributions=dict(scales))


def ask_child(search: Search, seen: Sequence[Seen], number: int, draw: int = 0) -> tuple[float, ...]:
    """`suggest` by a child of its own; raises UserError where it fails."""
    from lit_transformer.sweep.preparing import ask

    request = {"search": asdict(search), "seen": [asdict(item) for item in seen], "number": number, "draw": draw}
    answer = ask("lit_transformer.sweep.bayes", request)["u"]
    assert isinstance(answer, list)
    return tuple(float(u) for u in answer)


def search_from_json(value: Mapping[str, object]) -> Search:
    """A search as `asdict` and JSON left it."""
    axes = value["axes"]
    assert isinstance(axes, list)
    read = tuple(Axis(key=item["key"], edges=tuple(item["edges"])) for item in axes)
    return Search(**{**value, "axes": read})  # type: ignore[arg-type]


def main(request: str, answer: str) -> int:
    """Entry point of the child; see the module."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    seen = [Seen(u=tuple(item["u"]), state=item["state"], values=tuple(item["values"])) for item in asked["seen"]]
    u = suggest(search_from_json(asked["search"]), seen, asked["number"], asked["draw"])
    write_json(Path(answer), {"u": list(u)})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
