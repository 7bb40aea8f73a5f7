"""A loader of planned batches that says which batch a failing or dying worker was at."""

import ctypes
import mmap
import os
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info
from torch.utils.data._utils import signal_handling

from lit_transformer.config.errors import UserError
from lit_transformer.data.sampler import Plan

PR_SET_PDEATHSIG = 1
"""prctl's: the signal that a process gets when the thread that forked it ends."""
SLOT_BYTES = 1024
"""What a worker notes of one batch, at most."""
DEATH_SECONDS = 2.0
"""How long a worker whose connection broke may take to be dead."""
_FEW = 4


class LoaderDied(RuntimeError):
    """A batch could not be made: a loader worker died or its dataset raised; the message is for people."""


class PlanDataset(Protocol):
    """Makes whole micro-batches from a sampler's plans."""

    def __getitem__(self, plan: Plan) -> dict[str, Tensor]: ...

    def describe(self, plan: Plan) -> str:
        """Which part of the data the plan takes, as the rest of a sentence about its batch."""


class PlanLoader(DataLoader[dict[str, Tensor]]):
    """Batches in the order of `sampler`; iterate it in the main thread, since its workers die with their thread.

    Tells Lightning that it can resume; its state is the trainer's step, so it keeps none. Iterating raises LoaderDied
    when a worker died or the dataset raised, UserError where it raised that; both name the batch. A worker's death is
    told when a batch is asked for, never in the midst of other code.
    """

    def __init__(
        self,
        dataset: PlanDataset,
        sampler: Sampler[Plan],
        *,
        num_workers: int = 0,
        persistent_workers: bool = False,
        pin_memory: bool = False,
    ) -> None:
        self._slots = _Slots(num_workers)
        super().__init__(
            cast(Dataset[dict[str, Tensor]], _Noting(dataset, self._slots)),  # iterating takes the failures out
            sampler=sampler,
            batch_size=None,  # a plan is a whole batch
            collate_fn=_unchanged,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers else None,  # 0.3 s, not 2.8 s, in a fork server's child
            worker_init_fn=partial(_settle_in, self._slots),
            persistent_workers=persistent_workers and num_workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # else each epoch would draw from the global one, and change dropout
        )

    def __iter__(self) -> "Iterator[dict[str, Tensor]]":  # type: ignore[override]  # torch names its private class
        workers = [] if self._iterator is None else _workers_of(self._iterator)  # those that persist
        if self.num_workers:
            _child_signal.soften()
        with _naming(workers, self._slots):
            batches = super().__iter__()
        return _Batches(batches, self._slots)

    def state_dict(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Nothing to restore."""


def first_few(numbers: Iterable[int]) -> str:
    """The first numbers of many, for a message."""
    found = [str(number) for _, number in zip(range(_FEW + 1), numbers, strict=False)]
    return ", ".join(found[:_FEW]) + (", ..." if len(found) > _FEW else "")


@dataclass(frozen=True)
class _Failure:
    """What takes a batch's place where the dataset raised."""

    text: str
    is_users: bool
    error: Exception | None
    """None from a worker: not every exception can be sent to another process."""


class _Slots:
    """What each worker does, in memory that it shares with this process and that outlives it."""

    _HEAD = struct.Struct("<?H")  # whether the batch is made, bytes of the text

    def __init__(self, workers: int) -> None:
        self._map = mmap.mmap(-1, max(workers, 1) * SLOT_BYTES)

    def begin(self, worker: int, batch: str) -> None:
        """Note the batch that a worker makes; an empty text for none yet."""
        text = batch.encode()[: SLOT_BYTES - self._HEAD.size]
        content = self._HEAD.pack(False, len(text)) + text
        self._map[worker * SLOT_BYTES : worker * SLOT_BYTES + len(content)] = content

    def end(self, worker: int) -> None:
        """Note that the worker has made its batch."""
        self._map[worker * SLOT_BYTES] = True

    def read(self, worker: int) -> str:
        """What the worker did last, as the rest of a sentence about it."""
        slot = self._map[worker * SLOT_BYTES : (worker + 1) * SLOT_BYTES]
        made, length = self._HEAD.unpack_from(slot)
        batch = slot[self._HEAD.size :][:length].decode(errors="replace")
        if not batch:
            return "before its first batch"
        return f"{'after it had made' if made else 'while it made'} {batch}"


class _Noting(Dataset[dict[str, Tensor] | _Failure]):
    """The dataset, noting in a worker's slot what it makes."""

    def __init__(self, dataset: PlanDataset, slots: _Slots) -> None:
        self._dataset, self._slots = dataset, slots

    def __getitem__(self, plan: Plan) -> dict[str, Tensor] | _Failure:
        worker = get_worker_info()
        if worker is not None:
            self._slots.begin(worker.id, self._name(plan))
        try:
            batch = self._dataset[plan]
        except Exception as error:
            return self._failure(plan, error, in_worker=worker is not None)
        if worker is not None:
            self._slots.end(worker.id)
        return batch

    def _name(self, plan: Plan) -> str:
        return f"the batch of step {plan.step} (epoch {plan.epoch}): {self._dataset.describe(plan)}"

    def _failure(self, plan: Plan, error: Exception, *, in_worker: bool) -> _Failure:
        kept = None if in_worker else error
        if isinstance(error, UserError):
            return _Failure(f"{error}\n  in       {self._name(plan)}", True, kept)
        who = f"loader worker {os.getpid()}" if in_worker else "the dataset"
        cause = f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error)).rstrip()}"
        return _Failure(f"{who} failed while it made {self._name(plan)}\n  cause    {cause}", False, kept)


class _Batches(Iterator[dict[str, Tensor]]):
    """Torch's iterator, its errors named."""

    def __init__(self, batches: Iterator[dict[str, Tensor] | _Failure], slots: _Slots) -> None:
        self._batches, self._slots = batches, slots
        self._ended = False

    def __next__(self) -> dict[str, Tensor]:
        if self._ended:  # its workers have gone, and rightly so
            raise StopIteration
        try:
            with _naming(_workers_of(self._batches), self._slots):
                batch = next(self._batches)
        except StopIteration:
            self._ended = True
            raise
        if isinstance(batch, _Failure):
            raise (UserError if batch.is_users else LoaderDied)(batch.text) from batch.error
        return batch


class _ChildSignal:
    """Holds back the error that torch raises, wherever the main thread is, when a loader worker dies.

    In the midst of a checkpoint or of a collective it would do harm, and nobody would take it for the loader's. While
    a batch of that worker's is waited for it is let through: one killed as it wrote leaves the reader waiting for ever.
    """

    def __init__(self) -> None:
        self.waited_for: list[BaseProcess] = []

    def soften(self) -> None:
        """Wrap torch's handler of SIGCHLD, once; only the main thread may set one, as with torch."""
        signal_handling._set_SIGCHLD_handler()
        torchs = signal.getsignal(signal.SIGCHLD)
        if torchs == self._handle or not callable(torchs) or threading.current_thread() is not threading.main_thread():
            return
        self._torchs = torchs
        signal.signal(signal.SIGCHLD, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        try:
            self._torchs(number, frame)
        except RuntimeError:
            if any(worker.exitcode is not None for worker in self.waited_for):
                raise


_child_signal = _ChildSignal()


@contextmanager
def _naming(workers: list[BaseProcess], slots: _Slots) -> Iterator[None]:
    """Raise LoaderDied for a worker that has died before or dies within."""
    _child_signal.waited_for = workers
    try:
        _raise_for_dead(workers, slots, None)
        yield
    except LoaderDied:
        raise
    except (OSError, EOFError) as error:  # reading what a worker sent before it died: its end may come a little later
        _child_signal.waited_for = []  # else its end would raise here
        closed = wait([worker.sentinel for worker in workers], DEATH_SECONDS)
        for worker in workers:
            if worker.sentinel in closed:  # a dying process closes its files first
                worker.join(DEATH_SECONDS)
        _raise_for_dead(workers, slots, error)
        raise
    except RuntimeError as error:
        _raise_for_dead(workers, slots, error)
        raise
    finally:
        _child_signal.waited_for = []


def _raise_for_dead(workers: list[BaseProcess], slots: _Slots, error: Exception | None) -> None:
    for index, worker in enumerate(workers):
        status = worker.exitcode
        if status is not None:
            _child_signal.waited_for = []
            for other in workers:  # they may wait for a lock that it held, and torch, to end them, for seconds
                other.kill()
            raise LoaderDied(f"loader worker {worker.pid} {_end(status, slots.read(index))}") from error


def _end(status: int, did: str) -> str:
    """How a worker ended, as the rest of a sentence about it, and what to do."""
    fix = "data.loader_workers=0 shows where it happens"
    if status >= 0:
        return f"ended with exit status {status} {did}\n  fix      {fix}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    if -status == signal.SIGKILL:
        fix = "out of memory? fewer data.loader_workers or a smaller data.batch_size take less"
    elif -status == signal.SIGBUS:
        fix = "is shared memory (/dev/shm) full? fewer data.loader_workers or a smaller data.batch_size take less"
    return f"was killed by {name} {did}\n  fix      {fix}"


def _workers_of(batches: object) -> list[BaseProcess]:
    """The processes behind torch's iterator, by index; none where batches are made in this one."""
    return list(getattr(batches, "_workers", []))


def _settle_in(slots: _Slots, worker: int) -> None:
    """In a worker: live exactly as long as the rank, whatever signals its group gets."""
    slots.begin(worker, "")
    if sys.platform == "linux":
        # torch's worker looks for its parent every 5 s, between two batches, and holds the run's lock until then
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # A job's end signals every process of it; the rank decides when to stop, and needs its batches until then.
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_at_the_second)


def _end_at_the_second(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _unchanged(batch: Any) -> Any:
    return batch
