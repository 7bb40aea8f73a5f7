"""The examples of every split with their labels."""

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.rows.examples import Example, Keys, read_examples
from lit_transformer.data.rows.labels import choice_ids, label_ids, label_names, label_order, majority
from lit_transformer.data.rows.row import RowSource
from lit_transformer.data.rows.splits import split_examples


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Examples by split, and what their labels are."""

    splits: dict[str, list[Example]]
    names: tuple[str, ...] = ()
    """Of the classes in order; none for pairs and choices."""
    ids: dict[str, NDArray[np.int64]]
    """Of each split, (rows,); none for pairs."""
    dropped: dict[str, int]
    """Source's split -> rows left out."""
    majority: dict[str, float]
    """Share of the commonest label, right choice or answer of each split; none for translation."""

    def texts(self, split: str) -> bytes:
        """A split's texts and labels as jsonl."""
        rows = [example.texts for example in self.splits[split]]
        if split in self.ids:
            labels = [self.names[label] if self.names else str(label) for label in self.ids[split]]
            rows = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def read_labelled(sources: Mapping[str, RowSource], keys: Keys, config: ExperimentConfig) -> Labelled:
    """Reads, splits and labels the rows of an experiment.

    Raises UserError, with file and line where a row is at fault, for what is wrong with rows, splits and labels.
    """
    read = {role: read_examples(source, keys, config.data) for role, source in sources.items()}
    dropped = {role: count for role, (_, count) in read.items() if count}
    splits = split_examples({role: examples for role, (examples, _) in read.items()}, config.data)
    if config.task == "classification":
        order = label_order(splits["train"])
        names = label_names(order, config.objective.label_words)
        ids = {split: label_ids(examples, order, split) for split, examples in splits.items()}
        return Labelled(splits=splits, names=names, ids=ids, dropped=dropped, majority=_majorities(ids))
    if config.task == "multiple_choice":
        ids = {split: choice_ids(examples, len(keys.texts) - 1) for split, examples in splits.items()}
        return Labelled(splits=splits, ids=ids, dropped=dropped, majority=_majorities(ids))
    answers = {split: [example.texts["target"] for example in examples] for split, examples in splits.items()}
    guesses = _majorities(answers) if config.task == "text_to_text" else {}  # nobody guesses a translation
    return Labelled(splits=splits, ids={}, dropped=dropped, majority=guesses)


def _majorities(answers: Mapping[str, Iterable[Hashable]]) -> dict[str, float]:
    return {split: majority(found) for split, found in answers.items()}
