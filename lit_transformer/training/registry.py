"""`task` -> how its data are prepared, loaded and trained; a new task is one more entry."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.images.module import ImageDataModule
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.images.weights import class_weights
from lit_transformer.data.planned import PlannedDataModule
from lit_transformer.data.prepare import prepare_data
from lit_transformer.data.prepared import Prepared, PreparedText, load_prepared
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.data.rows_module import RowDataModule
from lit_transformer.data.specials import specials_of
from lit_transformer.data.text import TextDataModule
from lit_transformer.data.tokenizers import load_tokenizer
from lit_transformer.tasks.base import Task
from lit_transformer.tasks.classification import Classification
from lit_transformer.tasks.facts import Facts, Texts
from lit_transformer.tasks.language_model import LanguageModel
from lit_transformer.tasks.multiple_choice import MultipleChoice
from lit_transformer.tasks.segmentation import Segmentation
from lit_transformer.tasks.text_to_text import TextToText
from lit_transformer.tasks.translation import Translation


@dataclass(frozen=True)
class Parts:
    """What one training is made of."""

    task: Task
    data: PlannedDataModule
    total_steps: int
    tokens_per_step: int


def open_prepared(config: ExperimentConfig, frozen: dict[str, object]) -> Prepared:
    """The prepared data that a run was frozen with; made again where the cache lacks them (on another machine, say)."""
    try:
        prepared = load_prepared(Path(str(frozen["folder"])))
        if prepared.fingerprint == frozen["fingerprint"]:
            return prepared
    except (KeyError, UserError):
        pass
    return prepare_data(config)


TASKS: dict[str, type[Task]] = {
    "language_model": LanguageModel,
    "translation": Translation,
    "text_to_text": TextToText,
    "classification": Classification,
    "multiple_choice": MultipleChoice,
    "segmentation": Segmentation,
}
"""`task` -> its LightningModule."""


def build_parts(config: ExperimentConfig, prepared: Prepared, *, rank: int = 0, world_size: int = 1) -> Parts:
    """The task, its data on this rank, and the run's length."""
    data = build_data(config, prepared, rank=rank, world_size=world_size)
    steps = total_steps(config, data.steps_per_epoch)
    task = TASKS[config.task](config, facts=facts_of(prepared, config), total_steps=steps)
    return Parts(task, data, steps, data.tokens_per_step)


def build_data(
    config: ExperimentConfig, prepared: Prepared, *, rank: int = 0, world_size: int = 1
) -> PlannedDataModule:
    """The data of one rank."""
    if isinstance(prepared, PreparedText):
        return TextDataModule(config, prepared, rank=rank, world_size=world_size)
    if isinstance(prepared, PreparedImages):
        return ImageDataModule(config, prepared, rank=rank, world_size=world_size)
    return RowDataModule(config, prepared, rank=rank, world_size=world_size)


def facts_of(prepared: Prepared, config: ExperimentConfig) -> Facts:
    """What a task is told of its data."""
    validated = "train" if config.trainer.overfit_batches else "val"
    if isinstance(prepared, PreparedText):
        sizes = {split: prepared.bytes[split] / count for split, count in prepared.tokens.items() if count}
        return Facts(bytes_per_token=sizes | ({"val": sizes[validated]} if validated in sizes else {}))
    if isinstance(prepared, PreparedImages):
        how = config.objective.class_weights
        weights = () if how == "none" else class_weights(prepared, how)
        return Facts(classes=prepared.classes, colors=prepared.colors, class_weights=weights)
    return Facts(texts=_texts(prepared, validated) if "target" in prepared.columns else None)


def _texts(prepared: PreparedRows, validated: str) -> Texts:
    tokenizer = load_tokenizer(prepared.tokenizer_path)
    specials = specials_of(tokenizer)
    assert specials.pad is not None and specials.end is not None

    @cache
    def rows(split: str) -> list[dict[str, str]]:
        return prepared.texts(split)

    return Texts(
        decode=lambda ids: tokenizer.decode_batch([list(row) for row in ids], skip_special_tokens=True),
        reference=lambda split, row: rows(validated if split == "val" else split)[row]["target"],
        start_token=specials.pad,
        stop_token=specials.end,
    )


def total_steps(config: ExperimentConfig, steps_per_epoch: int) -> int:
    """Optimizer steps of a whole run.

    Counted here: Lightning's estimated_stepping_batches drops a restored loader's state when it is read.
    """
    trainer = config.trainer
    by_epochs = trainer.max_epochs * steps_per_epoch if trainer.max_epochs else None
    return 1 if trainer.fast_dev_run else min(steps for steps in (trainer.max_steps, by_epochs) if steps)
