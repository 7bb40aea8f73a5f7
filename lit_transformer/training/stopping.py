"""Asking a run to stop, and what all ranks agree on after each step."""

import os
import signal
import time
from dataclasses import dataclass
from types import FrameType

import torch
from torch import distributed

from lit_transformer.records.requests import WHATS, read_request
from lit_transformer.records.run_folder import RunFolder

STOP, PREEMPT, PRUNE = (1 + WHATS.index(what) for what in ("stop", "preempt", "prune"))
"""Requests as the ranks exchange them; 0 is none."""
LOOK_SECONDS = 0.1
"""Between looks for a request: on a network file system each one costs as much as a small step."""


class StopOnSignal:
    """SIGTERM, SIGINT and SIGUSR1 ask the run to stop after the step in hand; a second signal ends it at once."""

    def __init__(self) -> None:
        self.asked = 0
        """The signal that this rank has received; the ranks agree on one at a step's end."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            os._exit(exit_status(number))  # the last checkpoint is whole: it came by rename
        self.asked = number


def exit_status(number: int) -> int:
    """130 for SIGINT, 143 for the others, 0 without a signal."""
    return {0: 0, signal.SIGINT: 130}.get(number, 143)


class Requests:
    """What others ask of a run, by a file in its folder; rank 0 looks."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._looked = 0.0

    def asked(self) -> int:
        """The request as a number."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return 0
        self._looked = now
        if not self._run.request_file.exists():
            return 0
        request = read_request(self._run)
        return 1 + WHATS.index(request.what) if request else 0


@dataclass
class Agreement:
    """Small numbers that every rank must see alike, exchanged on the CPU so that no GPU is waited for."""

    world_size: int = 1
    _group: distributed.ProcessGroup | None = None

    def start(self, world_size: int) -> None:
        """Every rank calls this once, when the process group is there."""
        self.world_size = world_size
        if world_size > 1 and distributed.get_backend() != "gloo":
            group = distributed.new_group(backend="gloo")
            assert isinstance(group, distributed.ProcessGroup)  # not the number of those that are not in it
            self._group = group

    def largest(self, *values: int) -> list[int]:
        """The largest of each value over the ranks."""
        if self.world_size == 1:
            return list(values)
        numbers = torch.tensor(values)
        distributed.all_reduce(numbers, op=distributed.ReduceOp.MAX, group=self._group)
        return numbers.tolist()

    def gather(self, value: object) -> list[object]:
        """Every rank's value, in the order of ranks, on every rank."""
        if self.world_size == 1:
            return [value]
        values: list[object] = [None] * self.world_size
        distributed.all_gather_object(values, value, group=self._group)
        return values
