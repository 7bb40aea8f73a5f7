"""Random choices about data are pure functions of (seed, epoch, row), never of a global random state."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray


def row_generator(seed: int, epoch: int, row: int) -> np.random.Generator:
    """The generator of one row in one epoch; PADDING's is that of row 0, and nothing is drawn from it."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed % (1 << 64), epoch, max(row, 0)])))


class RowGenerators(Sequence[np.random.Generator]):
    """The generators of some rows, made when they are asked for: 15 us each, and not every objective draws."""

    def __init__(self, seed: int, epoch: int, rows: NDArray[np.int64]) -> None:
        self._seed, self._epoch, self._rows = seed, epoch, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> np.random.Generator: ...

    @overload
    def __getitem__(self, index: slice) -> "RowGenerators": ...

    def __getitem__(self, index: int | slice) -> "np.random.Generator | RowGenerators":
        if isinstance(index, slice):
            return RowGenerators(self._seed, self._epoch, self._rows[index])
        return row_generator(self._seed, self._epoch, int(self._rows[index]))
