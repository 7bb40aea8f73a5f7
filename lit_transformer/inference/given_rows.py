"""Rows that people give on the shell, made into what a trained network reads, as `prepare` made those it learned from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_transformer.config.load import with_values
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.prepared_rows import Ragged
from lit_transformer.data.row_datasets import build_row_dataset
from lit_transformer.data.rows.columns import prompt_columns, text_columns
from lit_transformer.data.rows.examples import Example, Key, Keys
from lit_transformer.data.rows.lengths import find_rooms, fit
from lit_transformer.data.rows.row import Row
from lit_transformer.data.rows.write import encode_column
from lit_transformer.data.sampler import Plan
from lit_transformer.decoding.batches import length_batches
from lit_transformer.inference.text_run import TextRun, shown_progress
from lit_transformer.tasks.likelihood import choice_scores

MAX_TOKENS = 8192
"""Padded tokens that are read at once."""


@dataclass(frozen=True)
class GivenRows:
    """Rows in memory, with what batches are made of."""

    columns: tuple[str, ...]
    found: Mapping[str, Ragged]

    def ids(self, split: str, column: str) -> Ragged:
        """Ids of a column."""
        return self.found[column]

    def label_ids(self, split: str) -> NDArray[np.int64]:
        """Nobody knows the labels yet: 0 stands for each."""
        return np.zeros(len(self.found[self.columns[0]]), dtype=np.int64)


def scores(run: TextRun, config: ExperimentConfig, rows: Sequence[Mapping[str, str]], labels: Sequence[str]) -> Tensor:
    """Log-probability of each class or choice of each row, (rows, choices); not normalised where they are text.

    rows hold the columns of the task: text [, pair], or context, choice1, choice2 ... Raises UserError as `prepare`.
    """
    given, lengths = _given(run, config, rows, labels)
    dataset = build_row_dataset(config, given, "given", run.specials, training=False)
    result: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch in shown_progress(length_batches(lengths, MAX_TOKENS), "reading"):
        places = np.array(batch, dtype=np.int64)
        made = dataset[Plan(places, places)]
        for place, score in zip(batch, _batch_scores(run, config, made), strict=True):
            result[place] = score
    return torch.stack(result)


@torch.inference_mode()
def _batch_scores(run: TextRun, config: ExperimentConfig, batch: Mapping[str, Tensor]) -> Tensor:
    inputs = {name: value for name, value in batch.items() if name != "window_count"}
    if config.objective.name == "text":
        return choice_scores(run.network, inputs)  # (rows, choices)
    logits = run.network(**{name: inputs[name] for name in inputs if name not in ("targets", "lm_targets")})
    return logits.float().log_softmax(dim=-1)  # (rows, choices)


def _given(
    run: TextRun, config: ExperimentConfig, rows: Sequence[Mapping[str, str]], labels: Sequence[str]
) -> tuple[GivenRows, list[int]]:
    keys = Keys({name: Key(name, f"data.{name}_key") for name in rows[0]}, Key("label", "data.label_key"))
    examples = [Example(dict(row), "", Row(dict(row), f"text {number}")) for number, row in enumerate(rows, start=1)]
    if config.objective.name == "text":
        texts = prompt_columns(examples, keys, labels, config)
    else:
        texts = text_columns(examples, keys, "")
    encoded = {
        name: encode_column(run.tokenizer, column, np.uint32, lambda count: None) for name, column in texts.items()
    }
    rooms = find_rooms(config.task, config.model.kind, str(config.objective.name), tuple(encoded))
    places = [example.row.place for example in examples]
    refuse = config.data.too_long == "refuse"
    fitted = fit(encoded, rooms, run.context_length, places=places, refuse=refuse)
    lengths = sum(column.lengths for column in fitted.values())
    return GivenRows(tuple(fitted), fitted), np.asarray(lengths).tolist()


def as_text(config: ExperimentConfig, task: str, template: str | None, label_words: str | None) -> ExperimentConfig:
    """The settings with which any language model answers a task by likelihood, or a run's own ones with others."""
    values: dict[str, object] = {}
    if config.task != task:
        values |= {"task": task, "objective.name": "text"}
    if template is not None:
        values["objective.template"] = template
    if label_words is not None:
        values["objective.label_words"] = label_words
    return with_values(config, values)
