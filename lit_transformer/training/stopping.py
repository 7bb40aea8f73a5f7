"""Stopping at a step boundary when asked by a signal."""

import math
import os
import signal
from types import FrameType

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class StopOnSignal(Callback):
    """SIGTERM, SIGINT, SIGUSR1 end the run after the step in hand, on all ranks at the same step; a second at once."""

    def __init__(self) -> None:
        self.received = 0
        """The signal that all ranks have agreed to stop for; 0 while they train."""
        self._asked = 0  # what the handler saw: apart from `received`, which the ranks agree on at a step's end
        self._register()

    def _register(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            signal.signal(number, self._handle)

    @property
    def exit_status(self) -> int:
        """130 for SIGINT, 143 for the others, 0 without a signal."""
        return {0: 0, signal.SIGINT: 130}.get(self.received or self._asked, 143)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(130 if number == signal.SIGINT else 143)  # the last checkpoint is whole: it came by rename
        self._asked = number

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning has put its own handler in front of ours; it broadcasts inside the handler and hangs the ranks.
        self._register()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.world_size > 1:  # a signal reaches the ranks at different moments, and one rank ahead would hang
            number = torch.tensor(self._asked, device=trainer.strategy.root_device)
            torch.distributed.all_reduce(number, op=torch.distributed.ReduceOp.MAX)
            self.received = int(number)
        else:
            self.received = self._asked
        if self.received:
            trainer.should_stop = True


class Diverged(Exception):
    """The loss is no longer a number."""


def check_finite(value: float | Tensor, name: str, step: int) -> None:
    """Raise Diverged unless `value` is a finite number."""
    number = float(value)
    if not math.isfinite(number):
        raise Diverged(f"{name} is {number} at step {step}; a smaller optimizer.lr or trainer.gradient_clip may help")
