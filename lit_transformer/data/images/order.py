"""Images of one size make an optimizer step together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.buckets import in_parts


class SizeOrder:
    """Which images make which step: a pure function of sizes, batch size, seed and epoch.

    sizes (images, 2) are heights and widths. A step has `batch_size` images of one size, the last one of each size
    what is left. `parts` changes no step's images: they are divided evenly, and PADDING fills the smaller parts up.
    Shuffled by seed and epoch: the images of a size, then the steps; else images are in order, and steps in that of
    their first image, so that the first few have images of several sizes.
    """

    def __init__(
        self, sizes: NDArray[np.int64], *, seed: int, batch_size: int, parts: int = 1, shuffle: bool = True
    ) -> None:
        self._seed, self._parts, self._shuffle = seed, parts, shuffle
        _, groups = np.unique(sizes, axis=0, return_inverse=True)
        self._groups: NDArray[np.int64] = groups.reshape(-1).astype(np.int64)  # (images,)
        ends = np.cumsum(np.bincount(self._groups))
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
        # places of steps are the same in every epoch: as many images have a size, and only their order differs
        self._bounds = [
            (first, min(first + batch_size, end))
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
            for first in range(start, end, batch_size)
        ]

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch, the same for all."""
        return len(self._bounds)

    def steps(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """The images of each step, every one once, a multiple of `parts` with PADDING."""
        if not self._shuffle:
            rows = np.argsort(self._groups, kind="stable")  # (images,)
            return sorted(self._cut(rows), key=lambda step: int(step[0]))
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self._seed % (1 << 64), epoch])))
        order = generator.permutation(len(self._groups))
        steps = self._cut(order[np.argsort(self._groups[order], kind="stable")])
        return [steps[index] for index in generator.permutation(len(steps))]

    def _cut(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [in_parts(rows[first:last], self._parts) for first, last in self._bounds]
