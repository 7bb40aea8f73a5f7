"""How a training step's time grows with context, layers and vocabulary, beside GPT-2's and beside its own FLOPs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from alternating import with_threads
from apart import apart
from case import Case, Pace, measure
from figures import Figure
from systems import gpt
from systems.shapes import MIDDLE, Shape

TOKENS = 2048
"""Of a step, whatever the context."""
AXES: dict[str, tuple[Shape, ...]] = {
    "context": tuple(
        replace(MIDDLE, num_layers=2, context_length=length, batch=TOKENS // length) for length in (64, 256, 1024, 2048)
    ),
    "layers": tuple(replace(MIDDLE, num_layers=layers, batch=4) for layers in (1, 2, 4, 8)),
    "vocabulary": tuple(replace(MIDDLE, num_layers=2, vocab_size=size, batch=4) for size in (1024, 8192, 16384, 50257)),
}
FIELDS = {"context": "context_length", "layers": "num_layers", "vocabulary": "vocab_size"}
FROM, TO, BOUND = 256, 2048, 1.10
"""Time per token at context TO over that at FROM, over what the FLOPs say, at most."""


def cases() -> Iterator[tuple[str, int, Case]]:
    """Axis, value on it, and the training of both there."""
    for axis, shapes in AXES.items():
        for shape in shapes:
            value = getattr(shape, FIELDS[axis])
            named = replace(shape, name=f"{axis} {value:,}")
            yield axis, value, gpt.training(named, 0.0)


def figures(done: Callable[[], None], pace: Pace) -> list[Figure]:
    """Every axis, then the growth with context over that of the FLOPs; `done` is called after each case.

    Shares of a ceiling that is measured in the same rounds are compared: the machine's drift between two cases cancels.
    """
    found: list[Figure] = []
    shares: dict[int, float] = {}
    for axis, value, case in cases():
        figure = apart(partial(with_threads, partial(measure, case, pace)))[0]
        share = figure.facts["share_ours"]
        assert isinstance(share, float)
        if axis == "context":
            shares[value] = share
        found.append(replace(figure, facts={**figure.facts, "axis": axis, "value": value}))
        done()
    grown = growth(shares[FROM], shares[TO])
    note = f"{shares[FROM]:.0f} and {shares[TO]:.0f} % of the ceiling, all pairs of positions counted"
    name = f"GPT, time a token at context {TO:,} over {FROM}, over the FLOPs"
    return [*found, Figure(name, grown, "x", BOUND, note=note)]


def growth(before: float, after: float) -> float:
    """How many times more a token takes than its FLOPs say, from the shares of the ceiling before and after."""
    return before / after


def count() -> int:
    """Cases in all."""
    return sum(map(len, AXES.values()))
