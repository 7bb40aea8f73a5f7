"""Ranks in which one thing goes wrong, and a note of what each saw. Imported by children of a fork server.

What goes wrong, when and on which rank stands in the run's folder; each function here is a target of its own.
"""

import json
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.trainer.connectors.accelerator_connector import _AcceleratorConnector
from torch import Tensor, distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from lit_transformer.data.sampler import Plan
from lit_transformer.data.text import BlockDataset
from lit_transformer.records import checkpoints
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.tasks.language_model import LanguageModel
from lit_transformer.training import run
from lit_transformer.training.non_finite import Guard
from lit_transformer.training.step_end import StepEnd


@dataclass(frozen=True, kw_only=True)
class Fault:
    """When and where a target's fault happens."""

    steps: list[int]
    rank: int | None = None
    """None: every rank."""
    value: float = math.nan
    scaler: bool = False
    """Whether the CPU gets the loss scaler that Lightning gives 16-mixed on a GPU."""

    def put(self, folder: RunFolder) -> RunFolder:
        """Write it into a frozen run's folder."""
        (folder.path / "fault.json").write_text(json.dumps(asdict(self)))
        return folder

    def hits(self, step: int) -> bool:
        return step in self.steps and self.rank in (None, int(os.environ.get("RANK", "0")))


def target(name: str) -> str:
    """A function of this module as a fork server's children find it."""
    return f"tests.training.poisoned:{name}"


def seen(folder: RunFolder, rank: int) -> dict[str, Any]:
    """What a rank noted at its end: its own weights, its optimizer's state, and the rows that each step was given."""
    return torch.load(folder.path / f"seen-{rank}.pt", weights_only=True)


def loss_multiplied(folder: str) -> int:
    """The loss times the value: its gradient is no number either."""
    return _poison_loss(folder, lambda loss, value: loss * value)


def loss_raised(folder: str) -> int:
    """The loss plus the value: its gradient is as ever, and no other rank sees a thing."""
    return _poison_loss(folder, lambda loss, value: loss + value)


def gradient(folder: str) -> int:
    """A weight's gradient times the value, the loss as ever."""
    fault = _fault(folder)

    def on_fit_start(task: Task) -> None:
        def hook(gradient: Tensor) -> Tensor:
            return gradient * fault.value if fault.hits(task.trainer.global_step + 1) else gradient

        task.network.get_parameter("token_embedding.weight").register_hook(hook)

    Task.on_fit_start = on_fit_start  # type: ignore[assignment, method-assign]
    return _main(folder)


def weight_before_save(folder: str) -> int:
    """One weight is the value when a save is due."""
    fault, save = _fault(folder), StepEnd._save

    def poisoned(self: StepEnd, trainer: Any) -> None:
        if fault.hits(trainer.global_step):
            trainer.lightning_module.network.get_parameter("token_embedding.weight").data[3, 3] = fault.value
        save(self, trainer)

    StepEnd._save = poisoned  # type: ignore[method-assign]
    return _main(folder)


def without_the_update(folder: str) -> int:
    """Nothing is wrong, and the step's update is left out all the same."""
    fault = _fault(folder)
    Guard.__call__ = lambda self, norm, loss: not fault.hits(self.step)  # type: ignore[method-assign]
    return _main(folder)


def clean(folder: str) -> int:
    """Nothing is wrong."""
    return _main(folder)


def stopped(folder: str) -> int:
    """Nothing is wrong; a signal comes in the midst of a step."""
    fault = _fault(folder)

    def on_train_batch_start(task: Task, batch: Batch, batch_index: int) -> None:
        if fault.hits(task.trainer.global_step + 1):
            os.kill(os.getpid(), signal.SIGTERM)

    Task.on_train_batch_start = on_train_batch_start  # type: ignore[assignment, method-assign]
    return run.main(folder)


def spinning(folder: str) -> int:
    """The training step never ends."""

    def never_ends() -> None:
        while True:
            pass

    return _in_training_step(folder, never_ends)


def raising(folder: str) -> int:
    """The training step raises."""

    def raises() -> None:
        raise ArithmeticError("the seventh seal")

    return _in_training_step(folder, raises)


def sleeping_dataset(folder: str) -> int:
    """A batch of the first epoch is never made."""
    fault, make = _fault(folder), BlockDataset.__getitem__

    def getitem(self: BlockDataset, plan: Plan) -> Batch:
        if fault.hits(plan.step + 1):
            time.sleep(3600)
        return make(self, plan)

    BlockDataset.__getitem__ = getitem  # type: ignore[method-assign]
    return run.main(folder)


def counting_reductions(folder: str) -> int:
    """Nothing is wrong; each rank notes how often DDP reduced its gradients in `reductions-<rank>.json`."""
    counts = {"reductions": 0, "micro_batches": 0, "find_unused_parameters": 0}

    def counted(state: object, bucket: distributed.GradBucket) -> torch.futures.Future[Tensor]:  # type: ignore[name-defined]
        counts["reductions"] += bucket.is_last()
        return allreduce_hook(None, bucket)  # type: ignore[arg-type]  # None is the group of all ranks

    def on_train_start(task: Task) -> None:
        model = task.trainer.strategy.model
        assert isinstance(model, DistributedDataParallel)
        counts["find_unused_parameters"] += model.find_unused_parameters
        model.register_comm_hook(None, counted)

    def on_train_batch_start(task: Task, batch: Batch, batch_index: int) -> None:
        counts["micro_batches"] += 1

    def on_train_end(task: Task) -> None:
        (Path(folder) / f"reductions-{task.trainer.global_rank}.json").write_text(json.dumps(counts))

    Task.on_train_start = on_train_start  # type: ignore[assignment, method-assign]
    Task.on_train_batch_start = on_train_batch_start  # type: ignore[assignment, method-assign]
    Task.on_train_end = on_train_end  # type: ignore[assignment, method-assign]
    return run.main(folder)


def _fault(folder: str) -> Fault:
    return Fault(**json.loads((Path(folder) / "fault.json").read_text()))


def _poison_loss(folder: str, change: Callable[[Tensor, float], Tensor]) -> int:
    fault, training_sums = _fault(folder), LanguageModel.training_sums

    def poisoned(task: LanguageModel, batch: Batch) -> dict[str, Tensor]:
        sums = training_sums(task, batch)
        if fault.hits(task.trainer.global_step + 1):
            sums["loss"] = change(sums["loss"], fault.value)
        return sums

    LanguageModel.training_sums = poisoned  # type: ignore[assignment, method-assign]
    return _main(folder)


def _in_training_step(folder: str, act: Callable[[], None]) -> int:
    fault, training_step = _fault(folder), Task.training_step

    def poisoned(task: Task, batch: Batch, batch_index: int) -> Tensor:
        if fault.hits(task.trainer.global_step + 1):
            act()
        return training_step(task, batch, batch_index)

    Task.training_step = poisoned  # type: ignore[assignment, method-assign]
    return run.main(folder)


def scaled(folder: str) -> int:
    """Nothing is wrong: the CPU has the loss scaler that Lightning gives 16-mixed on a GPU."""
    _scale()
    return run.main(folder)


def _scale() -> None:
    with_scaler = MixedPrecision("16-mixed", "cpu")
    _AcceleratorConnector._check_and_init_precision = lambda self: with_scaler  # type: ignore[method-assign]


def _main(folder: str) -> int:
    """Train, and note at the end what `seen` reads."""
    batches: list[Tensor] = []
    if _fault(folder).scaler:
        _scale()

    def on_train_batch_start(task: Task, batch: Batch, batch_index: int) -> None:
        batches.append(batch["inputs"].clone())

    def on_train_end(task: Task) -> None:
        optimizer = task.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        noted = {"weights": task.network.state_dict(), "optimizer": optimizer.state_dict(), "batches": batches}
        torch.save(noted, Path(folder) / f"seen-{task.trainer.global_rank}.pt")

    Task.on_train_batch_start = on_train_batch_start  # type: ignore[assignment, method-assign]
    Task.on_train_end = on_train_end  # type: ignore[assignment, method-assign]
    return run.main(folder)


def killed_among_the_removals(folder: str) -> int:
    """The process dies while it removes the checkpoints that trainer.keep names no more."""
    prune = CheckpointFolder.prune

    def killed(self: CheckpointFolder, keep: Any) -> None:
        checkpoints._remove = lambda paths: os.kill(os.getpid(), signal.SIGKILL)
        prune(self, keep)

    CheckpointFolder.prune = killed  # type: ignore[method-assign]
    return run.main(folder)
