"""Rows that people give on the shell, as a trained network reads them: made as `prepare` made those it learned from."""

import dataclasses
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
from lit_transformer.data.rows.columns import Columns, prompt_columns, text_columns
from lit_transformer.data.rows.examples import Example, Key, Keys, find_keys
from lit_transformer.data.rows.lengths import find_rooms, fit
from lit_transformer.data.rows.row import Row
from lit_transformer.data.rows.write import encode_column
from lit_transformer.data.sampler import Plan
from lit_transformer.decoding.batches import in_batches
from lit_transformer.inference.lines import Report
from lit_transformer.inference.text_run import TextRun, check_text
from lit_transformer.tasks.base import inputs_of
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


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A run, the settings with which it is asked, and the words for classes where those are text."""

    run: TextRun
    config: ExperimentConfig
    labels: Sequence[str] = ()

    @property
    def own(self) -> bool:
        """Whether the run was trained for the task that it is asked."""
        return self.config.task == self.run.config.task

    @property
    def columns(self) -> dict[str, Key]:
        """Columns of the rows that the run learned from, and how its settings call them; none of another task's."""
        return find_keys(self.config.data, self.config.task).texts if self.own else {}

    def scores(
        self, rows: Sequence[Mapping[str, str]], places: Sequence[str], progress: Report | None = None
    ) -> tuple[Tensor, int]:
        """Log-probability of each class or choice of each row, (rows, choices), and how many rows were cut.

        rows hold the columns of the task: text [, pair], or context, choice1, choice2 ...; places name them in the
        errors, which are those of `prepare`. Scores of text are not normalised.
        """
        given, truncated = self._given(rows, places)
        specials = self.run.specials
        if not self.own:  # plain text goes on after an answer: only a run trained for it ends each
            specials = dataclasses.replace(specials, start=specials.eot, eot=None)
        dataset = build_row_dataset(self.config, given, "given", specials, training=False)

        def work(numbers: list[int]) -> list[Tensor]:
            wanted = np.array(numbers, dtype=np.int64)
            return list(self._batch_scores(dataset[Plan(wanted, wanted)]))  # (choices,) each

        lengths = np.sum([column.lengths for column in given.found.values()], axis=0).tolist()
        found = in_batches(range(len(rows)), work, lengths=lengths, max_tokens=MAX_TOKENS, progress=progress)
        return torch.stack(found), truncated  # (rows, choices)

    @torch.inference_mode()
    def _batch_scores(self, batch: dict[str, Tensor]) -> Tensor:
        inputs = {name: value.to(self.run.device) for name, value in inputs_of(batch).items()}
        if self.config.objective.name == "text":
            return choice_scores(self.run.network, inputs, prefix_lm=self.run.prefix_lm).cpu()  # (rows, choices)
        logits = self.run.network(**{name: inputs[name] for name in inputs if name not in ("targets", "lm_targets")})
        return logits.float().log_softmax(dim=-1).cpu()  # (rows, choices)

    def _given(self, rows: Sequence[Mapping[str, str]], places: Sequence[str]) -> tuple[GivenRows, int]:
        """The rows as ids, and how many of them were cut to the context."""
        run, config = self.run, self.config
        encoded = {
            name: encode_column(run.tokenizer, texts, np.uint32, lambda count: None)
            for name, texts in self._texts(rows, places).items()
        }
        rooms = find_rooms(config.task, config.model.kind, str(config.objective.name), tuple(encoded))
        fitted = fit(encoded, rooms, run.context_length, places=places, refuse=config.data.too_long == "refuse")
        shorter = [column.lengths < encoded[name].lengths for name, column in fitted.items()]  # (rows,) each
        return GivenRows(tuple(fitted), fitted), int(np.any(shorter, axis=0).sum())

    def _texts(self, rows: Sequence[Mapping[str, str]], places: Sequence[str]) -> Columns:
        known = self.columns  # a template may name a field as the data called it
        keys = Keys({name: known.get(name, Key(name, "")) for name in rows[0]}, Key("label", "data.label_key"))
        examples = [
            Example(dict(row), "", Row({keys.texts[name].field: check_text(row[name]) for name in row}, place))
            for row, place in zip(rows, places, strict=True)
        ]
        if self.config.objective.name == "text":
            return prompt_columns(examples, keys, self.labels, self.config)
        return text_columns(examples, keys, "")


def as_text(config: ExperimentConfig, task: str, template: str | None) -> ExperimentConfig:
    """The settings with which a GPT answers a task by likelihood, or a run's own ones with another template."""
    values: dict[str, object] = {} if config.task == task else {"task": task, "objective.name": "text"}
    return with_values(config, values if template is None else {**values, "objective.template": template})
