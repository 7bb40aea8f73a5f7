"""Acts taken by turns in one process, because a machine's speed drifts by more than two networks differ.

A round is one call of each act in random order; what is compared is compared within each round, and the median over
rounds counts, with the quartiles beside it.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from lit_transformer.config.schema import OptimizerConfig
from lit_transformer.optim import build_optimizer

THREADS = 2
LEAST, MOST = 5, 60
"""Rounds that a measurement has at least, and at most."""

Row = dict[str, float]
Act = Callable[[], object]
Step = Callable[[], float]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Spread:
    """The median of some values between their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Of one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(statistics.median(values), low, high)


@dataclass(frozen=True)
class Turns:
    """Seconds of each act, in the order of the rounds."""

    seconds: dict[str, list[float]]

    @property
    def rounds(self) -> int:
        """How often each act was called."""
        return len(next(iter(self.seconds.values())))

    def median(self, name: str) -> float:
        """Seconds of one call."""
        return statistics.median(self.seconds[name])

    def speedup(self, fast: str, slow: str) -> Spread:
        """How many times as long `slow` takes as `fast`, round by round."""
        pairs = zip(self.seconds[fast], self.seconds[slow], strict=True)
        return Spread.of([other / own for own, other in pairs])


def take_turns(
    acts: Mapping[str, Act],
    *,
    seconds: float,
    least: int = LEAST,
    most: int = MOST,
    clock: Callable[[], float] = time.perf_counter,
) -> Turns:
    """Call each act once a round until `seconds` are over, but `least` rounds at least and `most` at most."""
    taken: dict[str, list[float]] = {name: [] for name in acts}
    order, shuffle, begun = list(acts), random.Random(0), clock()
    for done in range(most):
        if done >= least and clock() - begun >= seconds:
            break
        shuffle.shuffle(order)
        for name in order:
            start = clock()
            acts[name]()
            taken[name].append(clock() - start)
    return Turns(taken)


def alternate(both: Mapping[str, Act], *, units: int, pairs: int) -> Row:
    """Units/s of `ours` and `theirs`, and the median over pairs of ours / theirs."""
    turns = take_turns(both, seconds=0.0, least=pairs, most=pairs)
    ratio = turns.speedup("ours", "theirs").median
    return {name: units / turns.median(name) for name in both} | {"ratio": ratio}


def training_step(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """Forward, loss, backward, update by fused AdamW, gradients to None; gives the loss."""
    optimizer = build_optimizer(model.named_parameters(), OptimizerConfig(lr=1e-4))

    def step() -> float:
        value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.item()

    return step


def with_threads(measure: Callable[[], Result]) -> Result:
    """What `measure` gives on THREADS threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        return measure()
    finally:
        torch.set_num_threads(before)
