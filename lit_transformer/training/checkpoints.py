"""Checkpoints: whole or absent, checked before use, loaded as data only."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from lit_transformer.config.durations import seconds
from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import OptimizerConfig, TrainerConfig
from lit_transformer.interop.checkpoint import read_checkpoint
from lit_transformer.records.checkpoints import PASSING, CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task
from lit_transformer.training.non_finite import Diverged, all_finite

__all__ = ["Checkpoints", "VerifiedCheckpointIO", "check_space", "read_checkpoint"]

torch.serialization.set_crc32_options(False)  # the manifest's SHA-256 says more, and a CRC costs a third of a save


class VerifiedCheckpointIO(CheckpointIO):
    """Writes into a folder of checkpoints, manifest last; loads only what agrees with the manifest.

    Lightning's own stages in $TMPDIR, often another file system, and flushes nothing.
    """

    def __init__(self, folder: CheckpointFolder) -> None:
        self._folder = folder

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self._folder.save(
            Path(path).name,
            lambda file: torch.save(checkpoint, file),
            step=checkpoint["global_step"],
            resumable="optimizer_states" in checkpoint,
            facts=storage_options or {},
        )

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path), self._folder)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


class Checkpoints:
    """When checkpoints are due, and the best validation so far."""

    def __init__(self, run: RunFolder, config: TrainerConfig, identity: dict[str, object]) -> None:
        self._run, self._identity = run, identity
        every = config.checkpoint_every
        self._steps = every if isinstance(every, int) else None
        self._seconds = seconds(every) if isinstance(every, str) else None
        self._saved_at = time.monotonic()
        self._averages = config.average_checkpoints > 1
        self.best_step = 0
        self.best: dict[str, float] = {}
        """Validation metrics of `best.ckpt`."""

    def due(self, step: int) -> bool:
        """Whether the number of steps asks for a checkpoint."""
        return self._steps is not None and step > 0 and step % self._steps == 0

    def time_due(self) -> bool:
        """Whether this rank's clock does."""
        return self._seconds is not None and time.monotonic() - self._saved_at >= self._seconds

    def save_last(self, trainer: Trainer) -> None:
        """Save everything that a resume needs; every rank takes part. Raises Diverged rather than save a NaN."""
        self._save(trainer, self._run.last_checkpoint, weights_only=False)
        self._saved_at = time.monotonic()

    def save_if_best(self, trainer: Trainer, task: Task) -> None:
        """Save the weights alone where the newest validation is the best so far."""
        if not self.best or task.improves(self.best):
            self.save_best(trainer, task)

    def save_best(self, trainer: Trainer, task: Task) -> None:
        """Save the weights alone as the best ones, whatever was measured before."""
        self.best, self.best_step = dict(task.measured), trainer.global_step
        self._save(trainer, self._run.best_checkpoint, weights_only=True)

    def newest_weights(self, count: int, *, before: int) -> list[dict[str, Tensor]]:
        """Weights of the newest good checkpoints from steps before `before`, at most `count` of them.

        Those that a signal asked for do not count: the uninterrupted run lacks them.
        """
        folder, found = CheckpointFolder(self._run.checkpoints), {}
        for path in self._run.checkpoints.glob("*.ckpt"):
            if path.name.startswith(("last", "step-")) and folder.holds(path):
                checkpoint = read_checkpoint(path, folder)
                if checkpoint["global_step"] < before and self.due(checkpoint["global_step"]):
                    found[checkpoint["global_step"]] = checkpoint["state_dict"]
        return [found[step] for step in sorted(found, reverse=True)[:count]]

    def _save(self, trainer: Trainer, path: Path, *, weights_only: bool) -> None:
        task = trainer.lightning_module
        tensors = [*task.state_dict().values()]
        if not weights_only:
            tensors += _moments(trainer.optimizers)
        if not all_finite(tensors):
            raise Diverged(f"a weight is no number after step {trainer.global_step}; the earlier checkpoint is kept")
        trainer.save_checkpoint(path, weights_only=weights_only, storage_options=self._facts(trainer))

    def _facts(self, trainer: Trainer) -> dict[str, object]:
        """What the manifest says of a checkpoint; the logs are on the disk before it is."""
        if not trainer.is_global_zero:
            return {}
        sizes = {"metrics_bytes": self._run.metrics_file, "system_bytes": self._run.system_file}
        for path in sizes.values():
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        facts = {"identity": self._identity, **{name: self._run.size_of(path) for name, path in sizes.items()}}
        # a mean needs every due one: others make room for them
        return facts | ({PASSING: True} if self._averages and not self.due(trainer.global_step) else {})

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.best_step = state["best"], state["best_step"]


def _moments(optimizers: list[Optimizer]) -> Iterator[Tensor]:
    for optimizer in optimizers:
        for state in optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


def check_space(run: RunFolder, network: nn.Module, optimizer: OptimizerConfig, trainer: TrainerConfig) -> None:
    """See that the disk has room for the run's checkpoints, by their real size; raises UserError."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    moments = 2 if optimizer.name in ("adamw", "adam") else 1 if optimizer.momentum else 0
    last = weights * (1 + moments + (trainer.ema_decay is not None))
    saved = trainer.keep_checkpoints + 1  # a new one is whole before an old one goes
    needed = saved * last + weights
    there = sum(path.stat().st_size for path in run.checkpoints.glob("*.ckpt"))
    free = shutil.disk_usage(run.path).free
    if free < needed - there:
        raise UserError(
            f"there is too little room for the checkpoints of {run.path}\n"
            f"  got      {_shown(free)} free, {_shown(there)} of checkpoints already there\n"
            f"  allowed  {_shown(needed)}: {trainer.keep_checkpoints} kept and one being written, {_shown(last)} each, "
            "and best.ckpt\n"
            "  fix      free some space, choose another disk with --output, or lower trainer.keep_checkpoints"
        )


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
