"""Checkpoints: whole or absent, and loaded as data only."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_transformer.config.durations import seconds
from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import TrainerConfig
from lit_transformer.records.atomic import is_full, write_atomic
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, flushed, by rename; Lightning's own stages in $TMPDIR, another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        try:
            write_atomic(Path(path), lambda file: torch.save(checkpoint, file))
        except RuntimeError as error:
            if error.__context__ is not None and is_full(error.__context__):
                raise error.__context__ from None  # torch's writer hides a full disk behind "unexpected pos"
            raise

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and plain values on the CPU; raises UserError where it is missing or damaged."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"There is no checkpoint {path}.\n  fix      train the run first") from None
    except Exception as error:  # torch raises EOFError, RuntimeError, UnpicklingError ... for a damaged file
        raise UserError(f"The checkpoint {path} is damaged ({type(error).__name__}: {error}).") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is no checkpoint of this project: it holds no state_dict.")
    return checkpoint


class Checkpoints(Callback):
    """Saves last.ckpt every so often and after the last step, best.ckpt (weights only) at each new best validation."""

    def __init__(self, run: RunFolder, config: TrainerConfig) -> None:
        self.run = run
        every = config.checkpoint_every
        self._steps = every if isinstance(every, int) else None
        self._seconds = seconds(every) if isinstance(every, str) else None
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self.best_step = 0
        self.best: dict[str, float] = {}
        """Validation metrics of `best.ckpt`."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step == self._saved_step:
            return
        due = self._steps is not None and step % self._steps == 0
        if self._seconds is not None:  # clocks differ between ranks; rank 0's decides
            due = bool(trainer.strategy.broadcast(time.monotonic() - self._saved_at >= self._seconds))
        if due:
            self.save_last(trainer)

    def save_last(self, trainer: Trainer) -> None:
        """Save everything that a resume needs."""
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()
        trainer.save_checkpoint(self.run.last_checkpoint)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        value = pl_module.measured[pl_module.monitor]
        if not self.best or value < self.best[pl_module.monitor]:
            self.best, self.best_step = dict(pl_module.measured), trainer.global_step
            trainer.save_checkpoint(self.run.best_checkpoint, weights_only=True)


def prune(run: RunFolder, keep: str) -> None:
    """Remove the checkpoints that a complete run does not keep."""
    for path, kept in ((run.last_checkpoint, ("all", "last")), (run.best_checkpoint, ("all", "best"))):
        if keep not in kept:
            path.unlink(missing_ok=True)
