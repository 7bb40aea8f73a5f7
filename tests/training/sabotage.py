"""Ranks with one thing broken each, to show that the proofs would notice. Imported by children of a fork server."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lit_transformer.data.text import TextDataModule
from lit_transformer.records import checkpoints, finding, manifest
from lit_transformer.records.manifest import Entry
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.training import run, step_end
from lit_transformer.training.step_end import StepEnd
from lit_transformer.training.stopping import StopOnSignal


def without_random_state(folder: str) -> int:
    step_end.set_random_state = lambda state: None  # type: ignore[assignment]
    return run.main(folder)


def without_sampler_position(folder: str) -> int:
    TextDataModule._steps_done = lambda self: 0  # type: ignore[method-assign]
    return run.main(folder)


def without_checksum(folder: str) -> int:
    def exists(path: Path, entry: Entry, *ignored: object) -> str | None:
        own = path.name in (entry.name, f"step-{entry.step}.ckpt")
        return None if own and path.exists() and path.stat().st_size == entry.bytes else "it is missing"

    finding.verify = manifest.verify = checkpoints.verify = exists  # type: ignore[assignment]
    return run.main(folder)


def with_ranks_averaged_unweighted(folder: str) -> int:
    def training_step(self: Task, batch: Batch, batch_index: int) -> Any:
        sums = self.training_sums({name: batch[name] for name in batch if name != "window_count"})
        self._window.add(sums)
        return sums["loss"] / sums["count"].clamp(min=1)

    Task.training_step = training_step  # type: ignore[method-assign]
    return run.main(folder)


def ignoring_the_second_signal(folder: str) -> int:
    def handle(self: StopOnSignal, number: int, frame: object) -> None:
        self.asked = number

    StopOnSignal._handle = handle  # type: ignore[method-assign]
    return run.main(folder)


def with_the_schedule_one_step_late(folder: str) -> int:
    on_train_start = StepEnd.on_train_start

    def late(self: StepEnd, trainer: Trainer, module: Any) -> None:
        on_train_start(self, trainer, module)
        if trainer.global_step:
            for config in trainer.lr_scheduler_configs:
                config.scheduler.last_epoch -= 1

    StepEnd.on_train_start = late  # type: ignore[method-assign]
    return run.main(folder)


def with_metrics_written_twice(folder: str) -> int:
    RunFolder.rewind = lambda self, metrics, system: None  # type: ignore[method-assign]
    return run.main(folder)
