"""Widths at a given size: networks of different shapes that have as many parameters, or cost as many FLOPs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any, Literal, TypeVar

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import ModelConfig, SegmenterConfig, T5Config, TransformerConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.flops import training_cost
from lit_transformer.models.for_task import network_for

Model = TypeVar("Model", bound=ModelConfig)
Measure = Literal["parameters", "flops_per_token"]
TOLERANCE = 0.02
"""Share by which a solved size may miss its budget."""
CLOSE = 0.01
"""Share within which the usual proportion counts for more than the size."""
STEP = 8
"""Widths are multiples of it: vector units and tensor cores like them."""
NARROWEST, USUAL, WIDEST = 3, 4, 5
"""d_ff / d_model."""


@dataclass(frozen=True)
class Size:
    """Widths, and the size of the network that has them."""

    widths: tuple[tuple[str, int], ...]
    """Settings of `model` and their values."""
    size: float

    def __str__(self) -> str:
        return f"{self.size:,.0f} ({', '.join(f'{name} {value}' for name, value in self.widths)})"


@cache
def solve_width(
    model: ModelConfig, task: str, objective: ObjectiveConfig, measure: Measure, budget: int
) -> ModelConfig:
    """`model` with the widths at which `measure` is `budget`, within TOLERANCE; else UserError with the nearest sizes.

    A Transformer gets d_model, a multiple of lcm(num_heads, 8) (with rotary positions one that gives heads an even
    width), and d_ff, a multiple of 8 from 3 to 5 times d_model: of those within CLOSE the ones nearest to 4 times, else
    those nearest to the budget. A segmenter gets base_channels. What `model` says of these is left out of account.
    `vocab_size` must be set. FLOPs are those of a training step for a token or pixel.
    """
    if isinstance(model, TransformerConfig):
        found = _transformer(model, task, objective, measure, budget)
    elif isinstance(model, SegmenterConfig):
        found = _segmenter(
            lambda channels: float(_size(replace(model, base_channels=channels), task, objective, measure)), budget
        )
    else:
        raise UserError(f"budget.{measure}: no width is solved for model.kind {model.kind}")
    best = found[0]
    if abs(best.size - budget) > TOLERANCE * budget:
        raise UserError(
            f"budget.{measure} cannot be met within {TOLERANCE:.0%}\n"
            f"  got      {budget:,} with {_shape(model)}\n"
            f"  allowed  the nearest sizes, {' or '.join(map(str, found))}\n"
            "  fix      another budget, or another shape"
        )
    return _with(model, best)


def _with(model: Model, size: Size) -> Model:
    widths: dict[str, Any] = dict(size.widths)
    return replace(model, **widths)


def _segmenter(cost: Callable[[int], float], budget: int) -> list[Size]:
    """The nearest widths below and above, the nearer one first: the cost grows with the width."""
    low, width = 0, 16
    high: int | None = None
    while high is None or high - low > 1:
        size = cost(width)
        low, high = (width, high) if size < budget else (low, width)
        guess = int(width * math.sqrt(budget / size))  # costs grow almost as the square of the width
        width = max(low + 1, guess if high is None else min(guess, high - 1))
    widths = (max(low, 1), max(high, 2))
    sizes = [Size((("base_channels", channels),), cost(channels)) for channels in widths]
    return sorted(sizes, key=lambda item: abs(item.size - budget))


def _transformer(
    model: TransformerConfig, task: str, objective: ObjectiveConfig, measure: Measure, budget: int
) -> list[Size]:
    """The best widths alone, or where none are within TOLERANCE the nearest below and above, the nearer one first."""
    unit = unit_of(model)
    size = polynomial(lambda d, f: _size(replace(model, d_model=d, d_ff=f), task, objective, measure), unit)
    near, edges = [], []
    for d_model, widths in _shapes(unit):
        least, most = size(d_model, widths[0]), size(d_model, widths[-1])
        edges += [_sized(d_model, widths[0], least), _sized(d_model, widths[-1], most)]
        if least <= budget * (1 + TOLERANCE) and most >= budget * (1 - TOLERANCE):
            near += [_sized(d_model, d_ff, size(d_model, d_ff)) for d_ff in widths]
        if least > budget * (1 + TOLERANCE):
            break
    if near:
        return [min(near, key=lambda item: _rank(item, budget))]
    below = max((item for item in edges if item.size < budget), key=lambda item: item.size, default=None)
    above = min((item for item in edges if item.size >= budget), key=lambda item: item.size)
    return sorted([above] if below is None else [below, above], key=lambda item: abs(item.size - budget))


def unit_of(model: TransformerConfig) -> int:
    """What d_model is a multiple of."""
    heads = 2 * model.num_heads if getattr(model, "positions", None) == "rope" else model.num_heads
    return math.lcm(heads, STEP)


def polynomial(size: Callable[[int, int], Fraction], unit: int) -> Callable[[int, int], float]:
    """The size of a Transformer for any d_model and d_ff, from those of five networks.

    Every weight and every product of matrices is linear in d_ff and quadratic in d_model, in whatever network and for
    whatever head, and none has both d_model squared and d_ff: five numbers say it all, exactly.
    """
    first, second = STEP, 2 * STEP
    slopes = [(size(d, second) - size(d, first)) / (second - first) for d in (unit, 2 * unit)]
    slope = (slopes[1] - slopes[0]) / unit  # of what multiplies d_ff, itself linear in d_model
    at_zero = slopes[0] - slope * unit
    rest = [size(k * unit, first) - first * (at_zero + slope * k * unit) for k in (1, 2, 3)]  # without d_ff
    square = (rest[2] - 2 * rest[1] + rest[0]) / (2 * unit**2)
    linear = (rest[1] - rest[0]) / unit - 3 * square * unit
    constant = rest[0] - linear * unit - square * unit**2
    return lambda d, f: float(constant + linear * d + square * d * d + f * (at_zero + slope * d))


def _shapes(unit: int) -> Iterator[tuple[int, range]]:
    """Every d_model, ascending, with its d_ff."""
    d_model = unit
    while True:
        first = -(-NARROWEST * d_model // STEP) * STEP
        yield d_model, range(first, WIDEST * d_model + 1, STEP)
        d_model += unit


def _sized(d_model: int, d_ff: int, size: float) -> Size:
    return Size((("d_model", d_model), ("d_ff", d_ff)), size)


def _rank(item: Size, budget: int) -> tuple[float, float]:
    widths, miss = dict(item.widths), abs(item.size - budget) / budget
    proportion = abs(widths["d_ff"] / widths["d_model"] - USUAL)
    return (0.0, proportion + miss / 1000) if miss <= CLOSE else (1.0, miss)


@cache
def _size(model: ModelConfig, task: str, objective: ObjectiveConfig, measure: Measure) -> Fraction:
    """The size of the network that is really built, on the meta device."""
    if measure == "flops_per_token":
        cost = training_cost(model, task, objective)
        return Fraction(cost.sequence_flops, cost.sequence_tokens)
    with torch.device("meta"):
        return Fraction(sum(parameter.numel() for parameter in network_for(model, task, objective).parameters()))


def _shape(model: ModelConfig) -> str:
    names = ["num_heads", "num_layers", "vocab_size", "num_stages", "convs_per_stage", "upsampling", "skip"]
    names += ["num_encoder_layers", "num_decoder_layers"] if isinstance(model, T5Config) else []
    return ", ".join(f"{name} {getattr(model, name)}" for name in names if getattr(model, name, None) is not None)
