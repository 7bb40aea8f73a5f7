"""Every kind of batch of rows: its settings, rows on disk, and what a batch must hold of each, written out by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GPTConfig, ModelConfig, T5Config
from lit_transformer.config.schema import DataConfig, ExperimentConfig, ObjectiveConfig
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.data.specials import Specials

VOCAB, CONTEXT, ROWS = 60, 32, 23
SPECIALS = Specials(pad=1, end=2, cls=3, sep=4, start=5, delimiter=6, extract=7, eot=8)
PAD, END, CLS, SEP, START, DELIMITER, EXTRACT, EOT = range(1, 9)
IGNORED = -100
TINY = {"context_length": CONTEXT, "vocab_size": VOCAB, "d_model": 16, "num_heads": 2, "num_layers": 1, "dropout": 0.0}

Row = dict[str, list[int]]
"""The ids of one row by column."""


@dataclass(frozen=True)
class Case:
    """A kind of batch, and a row of it written out by hand: what each tensor holds before its padding."""

    task: str
    model: type[ModelConfig]
    columns: tuple[str, ...]
    rows: Callable[[Row, int], dict[str, Any]]
    objective: str | None = None
    training: bool = True
    specials: Specials = SPECIALS
    filler: int = PAD

    @property
    def config(self) -> ExperimentConfig:
        return ExperimentConfig(
            task=self.task,  # type: ignore[arg-type]
            model=self.model(**TINY),  # type: ignore[arg-type]
            objective=ObjectiveConfig(name=self.objective),  # type: ignore[arg-type]
            data=DataConfig(batch_size=8),
        )  # fmt: skip


def pair_row(row: Row, label: int) -> dict[str, Any]:
    return {
        "inputs": [*row["source"], END], "decoder_inputs": [PAD, *row["target"]], "targets": [*row["target"], END]
    }  # fmt: skip


def bert_row(row: Row, label: int) -> dict[str, Any]:
    first, second = [CLS, *row["text"], SEP], [*row["pair"], SEP] if "pair" in row else []
    return {
        "inputs": first + second, "token_types": [0] * len(first) + [1] * len(second), "targets": label
    }  # fmt: skip


def gpt_row(row: Row, label: int) -> dict[str, Any]:
    ids = [START, *row["text"], *([DELIMITER, *row["pair"]] if "pair" in row else []), EXTRACT]
    return {"inputs": ids, "ends": len(ids) - 1, "lm_targets": ids[1:], "targets": label}


def bert_choices(row: Row, label: int) -> dict[str, Any]:
    first = [CLS, *row["context"], SEP]
    seconds = [[*row[choice], SEP] for choice in ("choice1", "choice2", "choice3")]
    return {
        "inputs": [first + second for second in seconds],
        "token_types": [[0] * len(first) + [1] * len(second) for second in seconds],
        "targets": label,
    }


def gpt_choices(row: Row, label: int) -> dict[str, Any]:
    texts = [[START, *row["context"], DELIMITER, *row[choice], EXTRACT] for choice in ("choice1", "choice2", "choice3")]
    return {
        "inputs": texts, "ends": [len(ids) - 1 for ids in texts], "lm_targets": [ids[1:] for ids in texts],
        "targets": label,
    }  # fmt: skip


def answers(row: Row, before: list[int], after: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Inputs and targets of each answer; what follows the last token of a longer context is padding anyway."""
    prompt, found = before + row["prompt"], [row["choice1"] + after, row["choice2"] + after]
    return [prompt + answer for answer in found], [[IGNORED] * (len(prompt) - 1) + answer for answer in found]


def text_evaluation(row: Row, label: int) -> dict[str, Any]:
    inputs, targets = answers(row, [EOT], [EOT])
    return {"inputs": inputs, "targets": targets, "labels": label}


def text_training(row: Row, label: int) -> dict[str, Any]:
    inputs, targets = answers(row, [EOT], [EOT])
    return {"inputs": inputs[label], "targets": targets[label]}


def bare_text_training(row: Row, label: int) -> dict[str, Any]:
    inputs, targets = answers(row, [], [])
    return {"inputs": inputs[label], "targets": targets[label]}


def t5_evaluation(row: Row, label: int) -> dict[str, Any]:
    found = [row["choice1"], row["choice2"]]
    return {
        "inputs": [*row["prompt"], END], "decoder_inputs": [[PAD, *answer] for answer in found],
        "targets": [[*answer, END] for answer in found], "labels": label,
    }  # fmt: skip


def t5_training(row: Row, label: int) -> dict[str, Any]:
    right = row["choice1"] if label == 0 else row["choice2"]
    return {"inputs": [*row["prompt"], END], "decoder_inputs": [PAD, *right], "targets": [*right, END]}


PAIR, CHOICES, TEXT = (
    ("source", "target"),
    ("context", "choice1", "choice2", "choice3"),
    ("prompt", "choice1", "choice2"),
)
CASES = {
    "translation": Case("translation", EncoderDecoderConfig, PAIR, pair_row),
    "text_to_text": Case("text_to_text", T5Config, PAIR, pair_row, training=False),
    "bert": Case("classification", BertConfig, ("text",), bert_row),
    "bert pairs": Case("classification", BertConfig, ("text", "pair"), bert_row, training=False),
    "gpt": Case("classification", GPTConfig, ("text",), gpt_row, training=False),
    "gpt pairs": Case("classification", GPTConfig, ("text", "pair"), gpt_row),
    "bert choices": Case("multiple_choice", BertConfig, CHOICES, bert_choices, "label"),
    "gpt choices": Case("multiple_choice", GPTConfig, CHOICES, gpt_choices, training=False),
    "text": Case("classification", GPTConfig, TEXT, text_training, "text", specials=Specials(pad=PAD, eot=EOT)),
    "text evaluation": Case(
        "multiple_choice", GPTConfig, TEXT, text_evaluation, "text", training=False, specials=Specials(pad=PAD, eot=EOT)
    ),
    "text without specials": Case(
        "classification", GPTConfig, TEXT, bare_text_training, "text", specials=Specials(), filler=0
    ),
    "t5 text": Case("classification", T5Config, TEXT, t5_training, "text"),
    "t5 text evaluation": Case("classification", T5Config, TEXT, t5_evaluation, "text", training=False),
}


def stored(columns: tuple[str, ...], num_labels: int = 2) -> tuple[list[Row], list[int]]:
    """Rows of ids, all different, and their labels."""
    generator = np.random.default_rng(len(columns))
    rows = [
        {name: generator.integers(10, VOCAB, generator.integers(1, 12)).tolist() for name in columns}
        for _ in range(ROWS)
    ]
    return rows, generator.integers(0, num_labels, ROWS).tolist()


def prepare(folder: Path, rows: list[Row], labels: list[int]) -> PreparedRows:
    """The files that preparation leaves."""
    for name in rows[0]:
        np.array([index for row in rows for index in row[name]], dtype=np.uint16).tofile(folder / f"val.{name}.bin")
        offsets = np.cumsum([0, *(len(row[name]) for row in rows)])
        offsets.astype(np.int64).tofile(folder / f"val.{name}.offsets.bin")
    np.array(labels, dtype=np.int64).tofile(folder / "val.labels.bin")
    return PreparedRows(
        folder=folder, vocab_size=VOCAB, columns=tuple(rows[0]), rows={"val": len(rows)}, tokens={"val": 0}, labels=(),
        majority={}, truncated={}, dropped={}, fingerprint="", dtype="uint16",
    )  # fmt: skip


def num_labels(case: Case) -> int:
    return 3 if "choice3" in case.columns else 2
