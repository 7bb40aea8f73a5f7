"""Which rows make which micro-batch of which rank: a pure function of (seed, epoch, position)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import TrainerConfig

PADDING = -1
"""A row that holds nothing."""


@dataclass(frozen=True)
class Plan:
    """One micro-batch of one rank."""

    rows: NDArray[np.int64]
    """What each row holds, a block's first token or an example's number: (rows,); PADDING for nothing."""
    window: NDArray[np.int64]
    """The rows of the whole optimizer step, those of all micro-batches of all ranks."""
    epoch: int = 0
    step: int = 0
    """Optimizer step of the epoch, from 0."""


class Order(Protocol):
    """Which rows make which optimizer step."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps of an epoch, the same for all."""

    def steps(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """The rows of each step, their number a multiple of the parts that a step is divided into."""


@dataclass(frozen=True)
class FixedOrder:
    """Steps of `batch_size` rows each, the last one filled up with padding."""

    rows: Callable[[int], NDArray[np.int64]]
    """Epoch -> its rows in order, the same number in each."""
    num_rows: int
    batch_size: int

    @property
    def num_steps(self) -> int:
        """Optimizer steps that take every row once."""
        return math.ceil(self.num_rows / self.batch_size)

    def steps(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """The rows of each step, (batch_size,)."""
        flat = np.full(self.num_steps * self.batch_size, PADDING, dtype=np.int64)
        flat[: self.num_rows] = self.rows(epoch)
        return list(flat.reshape(self.num_steps, self.batch_size))


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How the rows of an optimizer step are divided."""

    accumulate: int
    rank: int
    world_size: int

    @property
    def parts(self) -> int:
        """Micro-batches of an optimizer step, over all ranks."""
        return self.accumulate * self.world_size

    def check(self, batch_size: int) -> None:
        """Raise UserError for a batch that cannot be divided."""
        parts = self.parts
        if batch_size < 1 or batch_size % parts:
            lower, upper = batch_size // parts * parts, max(batch_size // parts + 1, 1) * parts
            nearest = f"{lower} or {upper}" if lower > 0 else str(upper)
            raise UserError(
                f"data.batch_size: got {batch_size}\n"
                f"  allowed  a multiple of {parts} = {self.world_size} ranks (trainer.devices x trainer.num_nodes) x "
                f"{self.accumulate} micro-batches (trainer.accumulate)\n"
                f"  fix      set data.batch_size to {nearest}"
            )


class PlanSampler(Sampler[Plan]):
    """Plans of one rank, epoch after epoch without end.

    `limit` is the number of micro-batches of an epoch that are taken at most. A step's micro-batch (accumulation index
    x world_size + rank) takes its slice of the step's rows, so the rows of a step are the same for any number of ranks
    and micro-batches. `steps_done` gives the optimizer steps of the whole run so far when iteration begins, and with
    them the epoch and the step that come next: a resumed run needs nothing else.
    """

    def __init__(
        self,
        order: Order,
        sharding: Sharding,
        *,
        limit: int | None = None,
        steps_done: Callable[[], int] = lambda: 0,
    ) -> None:
        self._order, self._sharding, self._limit, self._steps_done = order, sharding, limit, steps_done

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, within the limit."""
        return math.ceil(self.micro_batches / self._sharding.accumulate)

    @property
    def micro_batches(self) -> int:
        """Those of an epoch, within the limit."""
        whole = self._order.num_steps * self._sharding.accumulate
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
        shape, steps = self._sharding, self._order.steps(epoch)
        for step in range(first, self.steps_per_epoch):
            parts = steps[step].reshape(shape.accumulate, shape.world_size, -1)  # (accumulate, world_size, rows)
            if self._limit is not None and self._limit < (step + 1) * shape.accumulate:
                parts = parts.copy()
                parts[self._limit - step * shape.accumulate :] = PADDING
            for micro in parts:
                yield Plan(micro[shape.rank], parts.reshape(-1), epoch, step)


class EpochSampler(PlanSampler):
    """The plans of one epoch, once each time: for validation and testing."""

    def __len__(self) -> int:
        return self.micro_batches

    def __iter__(self) -> Iterator[Plan]:
        return islice(self.epoch(0), len(self))  # not the padding that fills a step up


def limited_batches(batches: int, trainer: TrainerConfig) -> int:
    """Micro-batches of an epoch under fast_dev_run, overfit_batches and limit_train_batches, of `batches` in all."""
    if trainer.fast_dev_run:
        return min(batches, 1)
    limit = trainer.overfit_batches or trainer.limit_train_batches
    if limit is None:
        return batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)
