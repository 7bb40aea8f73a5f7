"""`task` -> how its data are prepared, loaded and trained; a new task is one more entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import LightningDataModule

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.data.prepare import prepare_text
from lit_transformer.data.prepared import PreparedText, load_prepared
from lit_transformer.data.text import TextDataModule
from lit_transformer.tasks.base import Task
from lit_transformer.tasks.language_model import LanguageModel


@dataclass(frozen=True)
class Parts:
    """What one training is made of."""

    task: Task
    data: LightningDataModule
    total_steps: int
    tokens_per_step: int


def open_prepared(config: ExperimentConfig, frozen: dict[str, object]) -> PreparedText:
    """The prepared data that a run was frozen with; made again where the cache lacks them (on another machine, say)."""
    try:
        prepared = load_prepared(Path(str(frozen["folder"])))
        if prepared.fingerprint == frozen["fingerprint"]:
            return prepared
    except (KeyError, UserError):
        pass
    return prepare_text(config)


TASKS: dict[str, type[LanguageModel]] = {"language_model": LanguageModel}
"""`task` -> its LightningModule."""


def build_parts(config: ExperimentConfig, prepared: PreparedText, *, rank: int = 0, world_size: int = 1) -> Parts:
    """The task, its data on this rank, and the run's length."""
    data = TextDataModule(config, prepared, rank=rank, world_size=world_size)
    steps = total_steps(config, data.steps_per_epoch)
    task = build_task(config, vars(prepared), total_steps=steps)
    assert isinstance(config.model, TextModelConfig)
    return Parts(task, data, steps, config.data.batch_size * config.model.context_length)


def build_task(config: ExperimentConfig, frozen: Mapping[str, object], *, total_steps: int = 1) -> Task:
    """The task with fresh weights from torch's global generator; `frozen` is what the run's prepared.json holds."""
    tokens, sizes = frozen["tokens"], frozen["bytes"]
    assert isinstance(tokens, dict) and isinstance(sizes, dict)
    bytes_per_token = {split: sizes[split] / count for split, count in tokens.items() if count}
    return TASKS[config.task](config, bytes_per_token=bytes_per_token, total_steps=total_steps)


def total_steps(config: ExperimentConfig, steps_per_epoch: int) -> int:
    """Optimizer steps of a whole run.

    Counted here: Lightning's estimated_stepping_batches drops a restored loader's state when it is read.
    """
    trainer = config.trainer
    by_epochs = trainer.max_epochs * steps_per_epoch if trainer.max_epochs else None
    return 1 if trainer.fast_dev_run else min(steps for steps in (trainer.max_steps, by_epochs) if steps)
