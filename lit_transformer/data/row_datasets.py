"""Batches of prepared rows, as the network of task, objective and model.kind takes them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import BertConfig, T5Config, TextModelConfig
from lit_transformer.config.registry import default_objective
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.loader import PlanDataset, first_few
from lit_transformer.data.prepared_rows import Ragged, RowColumns
from lit_transformer.data.row_batches.answers import AnswerRows
from lit_transformer.data.row_batches.labels import BertRows, GPTRows
from lit_transformer.data.row_batches.seq2seq import Seq2SeqRows
from lit_transformer.data.row_batches.sequences import RowMaker, Sequences, choice_columns, column, pick
from lit_transformer.data.sampler import PADDING, Plan
from lit_transformer.data.specials import Specials

_ANY = Specials(pad=0, end=0, cls=0, sep=0, eot=0, start=0, delimiter=0, extract=0)
"""Lengths do not depend on which ids special tokens have."""


class RowDataset(Dataset[dict[str, torch.Tensor]]):
    """Whole micro-batches of a split, made from a sampler's plans."""

    def __init__(self, split: str, maker: RowMaker) -> None:
        self._split, self._maker = split, maker

    def __getitem__(self, plan: Plan) -> dict[str, torch.Tensor]:
        batch = self._maker.batch(plan.rows, plan.window)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}
        return {**tensors, "window_count": torch.tensor(float(self._maker.count(plan.window)))}

    def describe(self, plan: Plan) -> str:
        """Which rows a plan takes, for a message."""
        rows = (int(row) for row in plan.rows if row != PADDING)
        return f"rows {first_few(rows)} of the {self._split} split, counted from 0"


def build_row_dataset(
    config: ExperimentConfig, prepared: RowColumns, split: str, specials: Specials, *, training: bool
) -> PlanDataset:
    """Batches of a split: in training what the network's loss takes, else what the task measures with beside.

    Raises UserError where the tokenizer lacks a special token, and where a prompt has nothing to predict from.
    """
    maker = _build_maker(config, prepared, split, specials, training=training)
    assert isinstance(config.model, TextModelConfig)
    longest = int(maker.lengths.max(initial=0))
    assert longest <= config.model.context_length, f"preparation left {longest} tokens in a row of the {split} split"
    return RowDataset(split, maker)


def row_lengths(config: ExperimentConfig, prepared: RowColumns, split: str) -> NDArray[np.int64]:
    """Tokens of each row, special ones included, on its longer side and of its longest choice: (split's rows,)."""
    return _build_maker(config, prepared, split, _ANY, training=False).lengths


def row_sequences(config: ExperimentConfig, prepared: RowColumns, split: str, *, training: bool) -> int:
    """Sequences of `row_lengths` tokens that the network sees of each row: its choices, or one."""
    return _build_maker(config, prepared, split, _ANY, training=training).sequences


def _build_maker(
    config: ExperimentConfig, prepared: RowColumns, split: str, specials: Specials, *, training: bool
) -> RowMaker:
    objective = config.objective.name or default_objective(config.task, config.model.kind)
    if objective == "label":
        return _label_rows(config, prepared, split, specials)
    if objective == "text":
        return _text_rows(config, prepared, split, specials, training=training)
    pad, end = specials.required("pad", "end", by=_run(config))
    target = column(prepared, split, "target")
    return Seq2SeqRows(
        source=column(prepared, split, "source"),
        targets=(target,),
        right=target,
        numbered=not training,
        pad=pad,
        end=end,
    )


def _label_rows(config: ExperimentConfig, prepared: RowColumns, split: str, specials: Specials) -> RowMaker:
    chooses = config.task == "multiple_choice"
    first = column(prepared, split, "context" if chooses else "text")
    seconds: tuple[Ragged, ...] = ()
    if chooses:
        seconds = choice_columns(prepared, split)
    elif "pair" in prepared.columns:
        seconds = (column(prepared, split, "pair"),)
    labels, pad = np.asarray(prepared.label_ids(split)), specials.pad or 0
    if isinstance(config.model, BertConfig):
        cls, sep = specials.required("cls", "sep", by=_run(config))
        head = Sequences((cls, first, sep))
        layouts = tuple(Sequences((*head.parts, second, sep)) for second in seconds) or (head,)
        types = config.model.token_types
        return BertRows(layouts=layouts, labels=labels, chooses=chooses, pad=pad, first=head, token_types=types)
    start, extract = specials.required("start", "extract", by=_run(config))
    if not seconds:
        return GPTRows(layouts=(Sequences((start, first, extract)),), labels=labels, chooses=chooses, pad=pad)
    (delimiter,) = specials.required("delimiter", by=_run(config))
    layouts = tuple(Sequences((start, first, delimiter, second, extract)) for second in seconds)
    return GPTRows(layouts=layouts, labels=labels, chooses=chooses, pad=pad)


def _text_rows(
    config: ExperimentConfig, prepared: RowColumns, split: str, specials: Specials, *, training: bool
) -> RowMaker:
    prompt, choices = column(prepared, split, "prompt"), choice_columns(prepared, split)
    which = np.asarray(prepared.label_ids(split))
    right = pick(choices, which)
    answers, labels = ((right,), None) if training else (choices, which)
    if isinstance(config.model, T5Config):
        pad, end = specials.required("pad", "end", by=_run(config))
        return Seq2SeqRows(source=prompt, targets=answers, right=right, labels=labels, pad=pad, end=end)
    start = specials.start if specials.start is not None else specials.eot
    if start is None:
        _check_prompts(prompt, split)
    return AnswerRows(
        prompt=(prompt,) if start is None else (start, prompt),
        answers=answers,
        end=() if specials.eot is None else (specials.eot,),
        right=right,
        labels=labels,
        pad=specials.pad or 0,
    )


def _check_prompts(prompt: Ragged, split: str) -> None:
    empty = np.flatnonzero(prompt.lengths == 0)
    if len(empty):
        raise UserError(
            f"objective.template gives {len(empty)} rows of the {split} split an empty prompt, the first being row "
            f"{empty[0]}, counted from 0\n"
            "  allowed  at least one token, from which the answer's first one is predicted\n"
            "  fix      put text around {...} in objective.template"
        )


def _run(config: ExperimentConfig) -> str:
    return f"task {config.task} with model.kind {config.model.kind}"
