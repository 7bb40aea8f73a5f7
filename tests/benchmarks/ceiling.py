"""What the machine reaches in a plain matrix product of a network's size: the ceiling that steps are held against."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lit_transformer.nn.linear import product

TRIES = 3


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

    def act(self) -> Callable[[], object]:
        """Computes it, by whichever of torch's two libraries is the faster here, into memory that stays."""
        left, right = torch.randn(self.rows, self.inner), torch.randn(self.columns, self.inner)
        result = torch.empty(self.rows, self.columns)
        ways: list[Callable[[], object]] = [
            lambda: torch.mm(left, right.T, out=result),
            lambda: product(left, right),
        ]
        return min(ways, key=_seconds)


def _seconds(act: Callable[[], object]) -> float:
    """The least of a few tries, after one that is not counted."""
    act()
    taken = []
    for _ in range(TRIES):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return min(taken)
