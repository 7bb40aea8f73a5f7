"""Sequences of ids laid out from special tokens and columns, filled in for many rows at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.prepared_rows import Ragged, RowColumns
from lit_transformer.data.sampler import PADDING

Rows = NDArray[np.int64]
"""Row indexes, PADDING for none: (rows,)."""
Arrays = dict[str, NDArray[np.int64] | NDArray[np.bool_]]
"""A batch by the names that a network's loss takes."""


class RowMaker(Protocol):
    """Makes batches of one split's rows."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row, special ones included, on its longest side and of its longest choice: (split's rows,)."""

    @property
    def sequences(self) -> int:
        """Sequences that the network sees of a row: more than 1 where it sees each choice."""

    def batch(self, rows: Rows, window: Rows) -> Arrays:
        """The batch of `rows`, as long as the rows of `window` need."""

    def count(self, rows: Rows) -> int:
        """Targets of the rows, by which the loss is divided."""


@dataclass(frozen=True)
class Sequences:
    """One sequence a row: its parts, special tokens and columns, one after another."""

    parts: tuple[int | Ragged, ...]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row: (split's rows,)."""
        columns = [part.lengths for part in self.parts if not isinstance(part, int)]
        total: NDArray[np.int64] = np.sum(columns, axis=0, dtype=np.int64)
        return total + (len(self.parts) - len(columns))

    def real_lengths(self, rows: Rows) -> NDArray[np.int64]:
        """Tokens of the rows, 0 of PADDING: (rows,)."""
        return np.where(rows == PADDING, 0, self.lengths[rows])

    def ids(self, rows: Rows, time: int, filler: int) -> NDArray[np.int64]:
        """The rows' ids, `filler` after them: (rows, time)."""
        result = np.full((len(rows), time), filler, dtype=np.int64)
        real = np.flatnonzero(rows != PADDING)
        rows, places = rows[real], real * time  # places in the flat result where the next part goes
        flat = result.reshape(-1)
        for part in self.parts:
            if isinstance(part, int):
                flat[places] = part
                places = places + 1
            else:
                first = part.offsets[rows]
                lengths = part.offsets[rows + 1] - first
                flat[_runs(places, lengths)] = part.values[_runs(first, lengths)]
                places = places + lengths
        return result


def column(prepared: RowColumns, split: str, name: str) -> Ragged:
    """A column of a split, its values still mapped; but indexing a memmap costs more."""
    found = prepared.ids(split, name)
    return Ragged(values=np.asarray(found.values), offsets=np.asarray(found.offsets, dtype=np.int64))


def choice_columns(prepared: RowColumns, split: str) -> tuple[Ragged, ...]:
    """The columns choice1, choice2, ... of a split."""
    count = sum(name.startswith("choice") for name in prepared.columns)
    return tuple(column(prepared, split, f"choice{number}") for number in range(1, count + 1))


def pick(columns: Sequence[Ragged], which: NDArray[np.int64]) -> Ragged:
    """Of each row the column that `which` (split's rows,) says, as one column in memory."""
    chosen = [np.flatnonzero(which == index) for index in range(len(columns))]
    lengths = np.zeros(len(which), dtype=np.int64)
    for part, rows in zip(columns, chosen, strict=True):
        lengths[rows] = part.offsets[rows + 1] - part.offsets[rows]
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])  # (rows + 1,)
    values = np.zeros(int(offsets[-1]), dtype=columns[0].values.dtype)
    for part, rows in zip(columns, chosen, strict=True):
        values[_runs(offsets[rows], lengths[rows])] = part.values[_runs(part.offsets[rows], lengths[rows])]
    return Ragged(values=values, offsets=offsets)


def input_mask(layouts: Sequence[Sequences], rows: Rows, window: Rows, time: int) -> Arrays:
    """`input_mask` (rows, layouts, time), left out where the whole window has no padding.

    A row of PADDING keeps its first place: attention that sees nothing is NaN.
    """
    if all((layout.real_lengths(window) == time).all() for layout in layouts):
        return {}
    lengths = np.stack([layout.real_lengths(rows) for layout in layouts], axis=1)  # (rows, layouts)
    return {"input_mask": np.arange(time) < np.maximum(lengths, 1)[..., None]}  # (rows, layouts, time)


def without_choices(arrays: Arrays) -> Arrays:
    """Take away the axis of choices, of which there is one: (rows, 1, ...) -> (rows, ...)."""
    return {name: array[:, 0] for name, array in arrays.items()}


def _runs(first: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """first[0], first[0] + 1, ..., `lengths[0]` of them, then those of first[1]: (sum of lengths,)."""
    ends = np.cumsum(lengths)
    return np.repeat(first - ends + lengths, lengths) + np.arange(lengths.sum())
