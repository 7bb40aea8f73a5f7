"""Training steps of two networks by turns in one process, because a machine's speed drifts by more than they differ.

A pair is a few steps of ours and the same number of theirs in random order; the ratio is the median over pairs.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from lit_transformer.config.schema import OptimizerConfig
from lit_transformer.optim import build_optimizer

THREADS = 2

Row = dict[str, float]
Step = Callable[[], float]
Result = TypeVar("Result")


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


def compare(both: dict[str, Step], *, tokens: int, required: float, pairs: int, steps: int, apart: float = 0.2) -> Row:
    """Tokens/s of the steps `ours` and `theirs`, and the median over pairs of ours / theirs.

    Raises RuntimeError where their first losses are further apart than two random initialisations make them.
    """
    first = {name: step() for name, step in both.items()}
    if max(first.values()) - min(first.values()) > apart:
        raise RuntimeError(f"the first losses differ, so the networks do different work: {first}")
    for step in both.values():
        step()
    return {**alternate(both, units=tokens, pairs=pairs, steps=steps), "required": required}


def alternate(both: Mapping[str, Callable[[], object]], *, units: int, pairs: int, steps: int = 1) -> Row:
    """Units/s of `ours` and `theirs`, and the median over pairs of ours / theirs."""
    seconds: dict[str, list[float]] = {name: [] for name in both}
    order, shuffle = list(both), random.Random(0)
    for _ in range(pairs):
        shuffle.shuffle(order)
        for name in order:
            start = time.perf_counter()
            for _ in range(steps):
                both[name]()
            seconds[name].append((time.perf_counter() - start) / steps)
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["theirs"], strict=True)]
    return {name: units / statistics.median(values) for name, values in seconds.items()} | {
        "ratio": statistics.median(ratios)
    }


def with_threads(measure: Callable[[], Result]) -> Result:
    """What `measure` gives on THREADS threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        return measure()
    finally:
        torch.set_num_threads(before)


def main(measure: Callable[..., dict[str, Row]], description: str | None) -> None:
    """Print a benchmark's table and one line of JSON."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    rows = measure(pairs=options.pairs, steps=options.steps)
    print(f"{'training tokens/s':<34}{'ours':>8}{'theirs':>8}{'ratio':>8}{'required':>10}")
    for name, row in rows.items():
        print(f"{name:<34}{row['ours']:>8.0f}{row['theirs']:>8.0f}{row['ratio']:>8.2f}{row['required']:>10.2f}")
    print(json.dumps(rows))
