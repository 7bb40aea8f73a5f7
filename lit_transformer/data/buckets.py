"""Rows of like length make an optimizer step together, so that little of it is padding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.data.sampler import PADDING


class Buckets:
    """The lengths that the rows of a split, themselves of `lengths` (rows), are padded to."""

    def __init__(self, lengths: NDArray[np.int64]) -> None:
        self.lengths = lengths
        self.ladder = bucket_lengths(max(int(lengths.max(initial=1)), 1))

    def time(self, rows: NDArray[np.int64]) -> int:
        """What rows are padded to together; PADDING takes none."""
        longest = self.lengths[rows[rows != PADDING]].max(initial=1)
        return int(self.ladder[np.searchsorted(self.ladder, longest)])


def bucket_lengths(longest: int) -> NDArray[np.int64]:
    """The lengths of buckets, ascending.

    From 8 on they grow by a quarter at most, from 64 on by an eighth: few, since each is a shape to compile. None is
    longer than `longest`, since the network's context may end there.
    """
    found, at = [], 0
    while at < longest:
        at += 2 if at < 16 else 4 if at < 32 else max(at // 64, 1) * 8
        found.append(min(at, longest))
    return np.array(found, dtype=np.int64)


def in_parts(rows: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """Rows divided into parts of one size, with PADDING at the ends of the later ones: (parts * size,)."""
    filled = np.full((parts, -(-len(rows) // parts)), PADDING, dtype=np.int64)  # (parts, size)
    for part, share in zip(filled, np.array_split(rows, parts), strict=True):
        part[: len(share)] = share
    return filled.reshape(-1)


class BucketOrder:
    """Which rows make which step: a pure function of lengths, sizes, seed and epoch.

    lengths (rows) are those of the longer side. A step of a bucket has as many rows as `max_tokens` / (`sequences` x
    the bucket's length), or `batch_size`; what a bucket has left over goes with the next longer one. `parts` changes no
    step's rows: they are divided evenly, and PADDING fills the smaller parts up. Shuffled by seed and epoch: the rows
    of a bucket, then the steps; else rows are by length and the steps in one order that is the same for every seed, so
    that the first few have rows of every length. Raises UserError where `max_tokens` is too few for one row of each
    part; unless `strict`, a step then exceeds it.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        seed: int,
        batch_size: int,
        max_tokens: int | None = None,
        parts: int = 1,
        shuffle: bool = True,
        sequences: int = 1,
        strict: bool = True,
    ) -> None:
        self._seed, self._parts, self._shuffle = seed, parts, shuffle
        self._batch_size, self._max_tokens, self._sequences = batch_size, max_tokens, sequences
        self._lengths, ladder = lengths, Buckets(lengths).ladder
        if strict:
            self._check(int(ladder[-1]))
        self._buckets = np.searchsorted(ladder, lengths).astype(np.uint16)  # (rows,), small for the radix sort
        self._bounds = self._make_bounds(ladder)  # (steps + 1,)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch, the same for all."""
        return len(self._bounds) - 1

    def steps(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """The rows of each step, every row once, a multiple of `parts` with PADDING."""
        entropy = [self._seed % (1 << 64), epoch] if self._shuffle else 0
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        if self._shuffle:
            order = generator.permutation(len(self._lengths))
            rows = order[np.argsort(self._buckets[order], kind="stable")]
        else:
            rows = np.argsort(self._lengths, kind="stable")
        # places of steps are the same in every epoch: a bucket's rows are as many, and only their order differs
        found = [rows[first:last] for first, last in zip(self._bounds[:-1], self._bounds[1:], strict=True)]
        return [in_parts(found[index], self._parts) for index in generator.permutation(len(found))]

    def _step_rows(self, length: int) -> int:
        if self._max_tokens is None:
            return self._batch_size
        return max(self._max_tokens // (length * self._sequences), 1)

    def _make_bounds(self, ladder: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where steps begin and end among the rows sorted by bucket."""
        first = last = 0
        bounds = [np.zeros(1, dtype=np.int64)]
        counts = np.bincount(self._buckets, minlength=len(ladder))
        for length, count in zip(ladder.tolist(), counts.tolist(), strict=True):
            if not count:  # else what is left over would be cut into the smaller steps of a length that it has not
                continue
            last += count
            size = self._step_rows(length)
            whole = (last - first) // size
            bounds.append(first + size * np.arange(1, whole + 1))
            first += whole * size
        if first < last:
            bounds.append(np.array([last]))
        return np.concatenate(bounds)

    def _check(self, longest: int) -> None:
        needed = longest * self._sequences * self._parts
        if self._max_tokens is not None and self._max_tokens < needed:
            each = f" x {self._sequences} choices" if self._sequences > 1 else ""
            raise UserError(
                f"data.max_tokens: got {self._max_tokens}, too few for the longest row\n"
                f"  allowed  {needed} or more: its {longest} tokens{each} x {self._parts} "
                "(ranks x micro-batches, each of which needs a row)\n"
                f"  fix      set data.max_tokens={needed} or more, or a smaller model.context_length or "
                "trainer.accumulate"
            )
