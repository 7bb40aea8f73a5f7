"""Asking a run to stop, and what all ranks agree on after each step."""

import os
import signal
from dataclasses import dataclass
from types import FrameType

import torch
from torch import distributed


class StopOnSignal:
    """SIGTERM, SIGINT and SIGUSR1 ask the run to stop after the step in hand; the same one again ends it at once.

    SIGUSR1 only ever asks: a pilot sends it beside the SIGTERM that SLURM sends to every process of a job.
    """

    def __init__(self) -> None:
        self.asked = 0
        """The signal that this rank has received first; the ranks agree on one at a step's end."""
        self._received: set[int] = set()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number in self._received and number != signal.SIGUSR1:
            os._exit(exit_status(number))  # the last checkpoint is whole: it came by rename
        self._received.add(number)
        self.asked = self.asked or number


def exit_status(number: int) -> int:
    """130 for SIGINT, 143 for the others, 0 without a signal."""
    return {0: 0, signal.SIGINT: 130}.get(number, 143)


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
