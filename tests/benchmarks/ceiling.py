"""What the machine reaches in a plain matrix product of a network's size: the ceiling that steps are held against."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lit_transformer.nn.linear import product

TRIES = 3
SHORTEST = 5e9
"""FLOPs of an act at least: some 20 ms, so that one moment in which the machine is slow does not decide."""


@dataclass(frozen=True)
class Product:
    """A product of float32 matrices (rows, inner) and (inner, columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Of one product; a multiplication and an addition are two."""
        return 2 * self.rows * self.inner * self.columns

    @property
    def times(self) -> int:
        """How often an act computes it."""
        return max(1, round(SHORTEST / self.flops))

    def act(self) -> Callable[[], object]:
        """Computes it `times` times, by the faster of torch's two libraries here, into memory that stays."""
        left, right = torch.randn(self.rows, self.inner), torch.randn(self.columns, self.inner)
        result = torch.empty(self.rows, self.columns)
        ways: list[Callable[[], object]] = [
            lambda: torch.mm(left, right.T, out=result),
            lambda: product(left, right),
        ]
        best = min(ways, key=_seconds)

        def act() -> None:
            for _ in range(self.times):
                best()

        return act


def _seconds(act: Callable[[], object]) -> float:
    """The least of a few tries, after one that is not counted."""
    act()
    taken = []
    for _ in range(TRIES):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return min(taken)
