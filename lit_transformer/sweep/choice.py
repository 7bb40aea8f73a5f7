"""Which points a sweep has: those of its grid, or those drawn at random, each with its name."""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.distributions import Categorical
from lit_transformer.sweep.file import SweepFile
from lit_transformer.sweep.grid import grid
from lit_transformer.sweep.names import cell_name, drawn_name, identity
from lit_transformer.sweep.parameters import Parameter
from lit_transformer.sweep.random_search import draw

SEEDS = "--seeds"
MOST_CELLS = 100_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the command line says about the points."""

    count: int | None = None
    """Points at most; None takes the file's run_cap."""
    seed: int = 0
    """Of the draws of a random sweep; another one gives other points."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a sweep."""

    name: str
    values: Mapping[str, object]
    """Swept key -> value."""


def choose(sweep: SweepFile, seeds: int | None = None, choice: Choice | None = None) -> list[Point]:
    """Every point, in order, and each with `seeds` replicates; raises UserError for a sweep without an end.

    `count` and run_cap count the points that differ by more than a replicate's seed.
    """
    choice = choice or Choice()
    if choice.count is not None and choice.count < 1:
        raise UserError(f"--count {choice.count}: a sweep has at least one cell.")
    cap = choice.count if choice.count is not None else sweep.run_cap
    parameters = with_seeds(sweep.parameters, seeds)
    if sweep.method == "grid":
        return _of_grid(sweep, parameters, cap, replicated=seeds is not None)
    if sweep.method != "random":
        raise UserError(
            f"{sweep.shown}: method: {sweep.method} has no list of points; its cells follow from results.\n"
            "  fix      a larger run_cap, and the same `sweep run` again, go on from what is there"
        )
    if cap is None:
        raise UserError(
            f"run_cap\n  at       {sweep.shown}\n  got      method: random without a run_cap, which never ends\n"
            "  allowed  an integer, 1 or more\n"
            "  fix      write run_cap: 20 into the file, or give --count 20 on the command line"
        )
    return _drawn(sweep, parameters, cap, choice.seed, seeds)


def with_seeds(parameters: Sequence[Parameter], seeds: int | None) -> list[Parameter]:
    """The parameters with `seed` replaced by 0 to seeds - 1; as they are where `seeds` is None. Raises UserError."""
    if seeds is None:
        return list(parameters)
    if seeds < 1:
        raise UserError(f"{SEEDS} {seeds}: the number of seeds is at least 1.")
    values = tuple(range(seeds))
    replicates = Parameter(key="seed", distribution=Categorical(values=values), values=values, origin=SEEDS, swept=True)
    return sorted([item for item in parameters if item.key != "seed"] + [replicates], key=lambda item: item.key)


def drawn(parameters: Sequence[Parameter], method: str, points: Iterable[Point]) -> list[Parameter]:
    """The parameters with the values that they take: what was drawn, where no grid lists it."""
    if method == "grid":
        return list(parameters)
    taken: dict[str, dict[str, object]] = {}
    for point in points:
        for key, value in point.values.items():
            taken.setdefault(key, {})[identity(value)] = value
    return [replace(item, values=tuple(taken[item.key].values())) if item.swept else item for item in parameters]


def _of_grid(sweep: SweepFile, parameters: Sequence[Parameter], cap: int | None, *, replicated: bool) -> list[Point]:
    axes = {item.key: item.values for item in parameters if item.swept}
    size = math.prod(len(values) for values in axes.values())
    if size > MOST_CELLS:
        raise UserError(
            f"{sweep.shown}: the grid has {size:,} cells.\n  allowed  at most {MOST_CELLS:,}\n"
            "  fix      fewer values, or method: random with a run_cap"
        )
    found = grid(axes, {item.key: item.place for item in parameters})
    if cap is not None:
        found = _first(found, cap, "seed" if replicated else None)
    return [Point(name=cell_name(values), values=values) for values in found]


def _first(found: Iterable[dict[str, object]], cap: int, but: str | None) -> Iterator[dict[str, object]]:
    """The points among the first `cap` that differ in more than the key `but`."""
    seen: set[str] = set()
    for values in found:
        same = identity({key: value for key, value in values.items() if key != but})
        if same in seen or len(seen) < cap:
            seen.add(same)
            yield values


def _drawn(sweep: SweepFile, parameters: Sequence[Parameter], cap: int, seed: int, seeds: int | None) -> list[Point]:
    own = [item for item in parameters if seeds is None or item.key != "seed"]
    points = []
    for number, replicate in itertools.product(range(cap), range(seeds) if seeds is not None else [None]):
        values = draw(sweep.name, seed, number, own)
        if replicate is not None:
            values["seed"] = replicate
        points.append(Point(name=drawn_name(number, values), values=values))
    return points
