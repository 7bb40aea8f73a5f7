"""Which blocks make which micro-batch of which rank: a pure function of (seed, epoch, position)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler, SequentialSampler

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
    """Plans of one rank for an epoch; a short last batch is filled up with rows of padding.

    `starts` gives an epoch's blocks in order, `counts` the targets in each; `limit` is the number of micro-batches
    that will be run at most, beyond which nothing counts into a window. Global step s takes `batch_size` blocks;
    its micro-batch (accumulation index x world_size + rank) takes its slice of them, so the blocks of a step are the
    same for any number of ranks and micro-batches.

    Where `steps_done` knows the optimizer steps of the whole run, they say which epoch and step come next, so that a
    resumed run continues exactly; else `set_epoch` and `set_start` do.
    """

    def __init__(
        self,
        *,
        blocks: int,
        starts: Callable[[int], NDArray[np.int64]],
        counts: Callable[[NDArray[np.int64]], NDArray[np.int64]],
        sharding: Sharding,
        limit: int | None = None,
        steps_done: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._blocks, self._starts, self._counts = blocks, starts, counts
        self._sharding, self._limit, self._steps_done = sharding, limit, steps_done
        self._epoch = 0
        self._resume = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch; Lightning calls it before each."""
        self._epoch = epoch

    def set_start(self, epoch: int, step: int) -> None:
        """Leaves out the first `step` optimizer steps of one epoch; its length stays that of the whole epoch."""
        self._resume = (epoch, step)

    def __len__(self) -> int:
        return self._sharding.num_steps(self._blocks) * self._sharding.accumulate

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, within the limit."""
        batches = len(self) if self._limit is None else min(self._limit, len(self))
        return math.ceil(batches / self._sharding.accumulate)

    def __iter__(self) -> Iterator[Plan]:
        done = self._steps_done()
        if done is None:
            epoch, first = self._epoch, self._resume[1] if self._resume[0] == self._epoch else 0
        else:
            # Lightning's count of epochs is off by one in a run resumed from the end of one, and its loader's
            # workers prefetch before it calls set_epoch
            epoch, first = divmod(done, max(self.steps_per_epoch, 1))
        rows, windows = self._epoch_rows(epoch)
        for step in range(first, len(rows)):
            window = int(windows[step])
            for starts in rows[step]:
                yield Plan(starts, window)

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


class OrderedPlanSampler(PlanSampler, SequentialSampler):  # type: ignore[misc]  # it yields plans, not numbers
    """Plans in a fixed order; a SequentialSampler, so that Lightning's overfit_batches leaves it in place."""


def limited_batches(batches: int, trainer: TrainerConfig) -> int:
    """Micro-batches of an epoch that Lightning will run under fast_dev_run, overfit_batches and limit_train_batches."""
    if trainer.fast_dev_run:
        return min(batches, 1)
    limit = trainer.overfit_batches or trainer.limit_train_batches
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)
