"""Which blocks make which micro-batch of which rank: a pure function of (seed, epoch, position)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import TrainerConfig

PADDING = -1
"""Start of a row that holds no block."""


@dataclass(frozen=True)
class Plan:
    """One micro-batch of one rank."""

    starts: NDArray[np.int64]
    """First token of each row's block, (rows,); PADDING for a row without one."""
    window_count: int
    """Targets in the whole optimizer step: all micro-batches of all ranks."""
    epoch: int = 0
    step: int = 0
    """Optimizer step of the epoch, from 0."""


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How a global batch is divided."""

    batch_size: int
    """Rows of one optimizer step, over all ranks and accumulated micro-batches."""
    accumulate: int
    rank: int
    world_size: int

    def __post_init__(self) -> None:
        parts = self.accumulate * self.world_size
        if self.batch_size < 1 or self.batch_size % parts:
            lower, upper = self.batch_size // parts * parts, max(self.batch_size // parts + 1, 1) * parts
            nearest = f"{lower} or {upper}" if lower > 0 else str(upper)
            raise UserError(
                f"data.batch_size: got {self.batch_size}\n"
                f"  allowed  a multiple of {parts} = {self.world_size} ranks (trainer.devices x trainer.num_nodes) x "
                f"{self.accumulate} micro-batches (trainer.accumulate)\n"
                f"  fix      set data.batch_size to {nearest}"
            )

    @property
    def micro_rows(self) -> int:
        """Rows of one micro-batch of one rank."""
        return self.batch_size // (self.accumulate * self.world_size)

    def num_steps(self, blocks: int) -> int:
        """Optimizer steps that take every block once."""
        return math.ceil(blocks / self.batch_size)


class PlanSampler(Sampler[Plan]):
    """Plans of one rank, epoch after epoch without end; a short last batch is filled up with rows of padding.

    `starts` gives an epoch's blocks in order, `counts` the targets in each; `limit` is the number of micro-batches of
    an epoch that are taken at most. Step s of an epoch takes `batch_size` blocks; its micro-batch (accumulation index x
    world_size + rank) takes its slice of them, so the blocks of a step are the same for any number of ranks and
    micro-batches. `steps_done` gives the optimizer steps of the whole run so far when iteration begins, and with them
    the epoch and the step that come next: a resumed run needs nothing else.
    """

    def __init__(
        self,
        *,
        blocks: int,
        starts: Callable[[int], NDArray[np.int64]],
        counts: Callable[[NDArray[np.int64]], NDArray[np.int64]],
        sharding: Sharding,
        limit: int | None = None,
        steps_done: Callable[[], int] = lambda: 0,
    ) -> None:
        self._blocks, self._starts, self._counts = blocks, starts, counts
        self._sharding, self._limit, self._steps_done = sharding, limit, steps_done

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, within the limit."""
        return math.ceil(self.micro_batches / self._sharding.accumulate)

    @property
    def micro_batches(self) -> int:
        """Those of an epoch, within the limit."""
        whole = self._sharding.num_steps(self._blocks) * self._sharding.accumulate
        return whole if self._limit is None else min(self._limit, whole)

    def __iter__(self) -> Iterator[Plan]:
        epoch, first = divmod(self._steps_done(), max(self.steps_per_epoch, 1))
        while True:
            yield from self.epoch(epoch, first)
            epoch, first = epoch + 1, 0

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Plan]:
        """The plans of one epoch from its step `first` on.

        A step whose micro-batches the limit cuts gets its missing ones as padding: every step has as many.
        """
        rows, windows = self._epoch_rows(epoch)
        for step in range(first, self.steps_per_epoch):
            for index, starts in enumerate(rows[step]):
                beyond = self._limit is not None and step * self._sharding.accumulate + index >= self._limit
                places = np.full_like(starts, PADDING) if beyond else starts
                yield Plan(places, int(windows[step]), epoch, step)

    def _epoch_rows(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """This rank's starts (steps, accumulate, micro rows) and the targets of each step (steps,)."""
        shape = self._sharding
        steps = shape.num_steps(self._blocks)
        flat = np.full(steps * shape.batch_size, PADDING, dtype=np.int64)
        flat[: self._blocks] = self._starts(epoch)
        rows = flat.reshape(steps, shape.accumulate, shape.world_size, shape.micro_rows)
        counts = self._counts(rows).sum(axis=(2, 3))  # (steps, accumulate)
        if self._limit is not None:
            counts.reshape(-1)[self._limit :] = 0
        return rows[:, :, shape.rank], counts.sum(axis=1)


class EpochSampler(PlanSampler):
    """The plans of one epoch, once each time: for validation and testing."""

    def __len__(self) -> int:
        return self.micro_batches

    def __iter__(self) -> Iterator[Plan]:
        return self.epoch(0)


def limited_batches(batches: int, trainer: TrainerConfig) -> int:
    """Micro-batches of an epoch under fast_dev_run, overfit_batches and limit_train_batches, of `batches` in all."""
    if trainer.fast_dev_run:
        return min(batches, 1)
    limit = trainer.overfit_batches or trainer.limit_train_batches
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)
