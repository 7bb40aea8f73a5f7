"""Prepared rows: what a run needs to know of them, and where their token ids, labels and texts lie."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Ragged:
    """Rows of ids of different lengths, one after another."""

    values: NDArray[np.uint16 | np.uint32]
    """Ids of all rows, (tokens,)."""
    offsets: NDArray[np.int64]
    """Where each row begins, and where the last one ends, (rows + 1,)."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.uint16 | np.uint32]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self.values[self.offsets[row] : self.offsets[row + 1]]  # (the row's tokens,)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, (rows,)."""
        return np.diff(self.offsets)


class RowColumns(Protocol):
    """What batches of rows are made of."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    def ids(self, split: str, column: str) -> Ragged:
        """Ids of a column."""

    def label_ids(self, split: str) -> NDArray[np.int64]:
        """Number of each row's label, or of its right choice, from 0: (rows,)."""


@dataclass(frozen=True, kw_only=True)
class PreparedRows:
    """Tokenized rows in the cache, without special tokens; tokenizer.json lies in their folder.

    Columns are `source` and `target`; `text` and, with a second text, `pair`; `context` and `choice1`, `choice2` ...;
    with the objective text `prompt` and the answers `choice1`, `choice2` ..., in the order of the labels.
    """

    folder: Path
    """Where tokenizer.json and the files of ids, labels and texts lie."""
    vocab_size: int
    """Entries of the tokenizer's vocabulary."""
    columns: tuple[str, ...]
    rows: dict[str, int]
    """Rows of each split."""
    tokens: dict[str, int]
    """Tokens of each split, all columns."""
    labels: tuple[str, ...]
    """Names of the classes by number; none where rows have no classes (pairs, choices)."""
    majority: dict[str, float]
    """Share of the commonest label, right choice or answer of each split; none for translation."""
    truncated: dict[str, int]
    """`split/column` -> texts that were cut to the model's context."""
    dropped: dict[str, int]
    """`train`, `val` and `test` as the source has them -> rows left out, since a text is empty."""
    fingerprint: str
    """Hash of the content and of the settings that shape the rows."""
    dtype: str
    """numpy's name for the type of the ids."""

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, object]) -> "PreparedRows":
        """From a folder and what its meta.json holds."""
        fields = {name: meta[name] for name in cls.__dataclass_fields__ if name != "folder"}
        fields |= {name: tuple(fields[name]) for name in ("columns", "labels")}  # type: ignore[arg-type]
        return cls(folder=folder, **fields)  # type: ignore[arg-type]

    def ids(self, split: str, column: str) -> Ragged:
        """Ids of a column, mapped from the files read-only."""
        name = f"{split}.{column}"
        offsets = _mapped(self.folder / f"{name}.offsets.bin", "int64")
        return Ragged(values=_mapped(self.folder / f"{name}.bin", self.dtype), offsets=offsets)

    def label_ids(self, split: str) -> NDArray[np.int64]:
        """Number of each row's label, or of its right choice, from 0: (rows,)."""
        labels: NDArray[np.int64] = _mapped(self.folder / f"{split}.labels.bin", "int64")
        return labels

    def texts(self, split: str) -> list[dict[str, str]]:
        """Texts of each row as they were read, uncut and without a prefix, with the name or number of its `label`."""
        with (self.folder / f"{split}.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer's file."""
        return self.folder / "tokenizer.json"

    def summary(self) -> str:
        """One line for a person: how much there is, what guessing gets right, and what was lost."""
        parts = [
            f"{_listed(self.rows, '{:,}')} rows, {sum(self.tokens.values()):,} tokens of {self.vocab_size:,} kinds"
        ]
        if self.labels:
            parts.append(f"{len(self.labels)} labels ({', '.join(self.labels[:10])})")
        if self.majority:
            parts.append(f"always guessing the commonest is right in {_listed(self.majority, '{:.1%}')}")
        if self.dropped:
            parts.append(f"rows dropped for an empty text: {_listed(self.dropped, '{:,}')}")
        if self.truncated:
            parts.append(f"texts cut to model.context_length: {_listed(self.truncated, '{:,}')}")
        return "; ".join(parts)


def _listed(counts: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{name} {form.format(count)}" for name, count in counts.items())


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    """The numbers of a file, which numpy cannot map where it is empty."""
    if not path.stat().st_size:
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
