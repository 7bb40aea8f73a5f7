"""How long the columns of a row may be, and which of them is cut where the row is longer than the context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import PAIR_TASKS
from lit_transformer.data.prepared_rows import Ragged

Lengths = NDArray[np.int64]
"""Tokens of each row, (rows,)."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """Columns that share a sequence."""

    cut: tuple[str, ...]
    """At most two columns that may be cut: the longer one until both are as long, then both."""
    whole: tuple[str, ...] = ()
    """Columns that are never cut; each makes a sequence of its own with the others."""
    special: int
    """Special tokens of the sequence."""
    from_start: bool = False
    """Cut at the beginning, as a prompt, whose end matters most; else at the end."""

    def needed(self, lengths: Mapping[str, Lengths]) -> Lengths:
        """Tokens of each row's longest sequence, special ones included, (rows,)."""
        longest = self._longest(lengths) + self.special
        for column in self.cut:
            longest = longest + lengths[column]
        return longest

    def kept(self, lengths: Mapping[str, Lengths], context_length: int) -> dict[str, Lengths]:
        """Tokens that may stay of each column that may be cut, below 0 where the others take the whole context."""
        budget = context_length - self.special - self._longest(lengths)
        if len(self.cut) < 2:
            return {column: np.minimum(lengths[column], budget) for column in self.cut}
        first, second = (lengths[column] for column in self.cut)
        kept = np.minimum(first, np.maximum(budget - second, (budget + 1) // 2))
        return {self.cut[0]: kept, self.cut[1]: np.minimum(second, budget - kept)}

    def _longest(self, lengths: Mapping[str, Lengths]) -> Lengths:
        rows = len(next(iter(lengths.values())))
        return (
            np.max([lengths[column] for column in self.whole], axis=0, initial=0) if self.whole else np.zeros(rows, int)
        )


def find_rooms(task: str, model_kind: str, objective: str, columns: Sequence[str]) -> tuple[Room, ...]:
    """The sequences that a network takes of a row."""
    choices = tuple(column for column in columns if column.startswith("choice"))
    if task in PAIR_TASKS:  # source </s>; <pad> target, target </s>
        return tuple(Room(cut=(column,), special=1) for column in columns)
    if objective == "text" and model_kind == "t5":
        return Room(cut=("prompt",), special=1, from_start=True), Room(cut=(), whole=choices, special=1)
    if objective == "text":  # <eot> prompt choice
        return (Room(cut=("prompt",), whole=choices, special=1, from_start=True),)
    if task == "multiple_choice":  # [CLS] context [SEP] choice [SEP]; <start> context <delimiter> choice <extract>
        return (Room(cut=("context",), whole=choices, special=3),)
    return (Room(cut=tuple(columns), special=1 + len(columns)),)  # the same, with a pair or without


def fit(
    columns: dict[str, Ragged],
    rooms: Sequence[Room],
    context_length: int,
    *,
    places: Sequence[str],
    refuse: bool,
) -> dict[str, Ragged]:
    """The columns, cut where a row is longer than the context.

    Raises UserError with the row's place: with `refuse` for the first row that would be cut, and for one in which
    what may not be cut leaves no room for a token of what may.
    """
    lengths = {name: column.lengths for name, column in columns.items()}
    fitted = dict(columns)
    for room in rooms:
        kept = room.kept(lengths, context_length)
        needed = room.needed(lengths)
        over = needed > context_length
        hopeless = (
            over if not room.cut else np.any([kept[name] < np.minimum(lengths[name], 1) for name in kept], axis=0)
        )
        wrong = np.flatnonzero(over if refuse else hopeless)
        if len(wrong):
            raise _too_long(places[wrong[0]], int(needed[wrong[0]]), context_length, room, refuse and room.cut != ())
        for name, keep in kept.items():
            fitted[name] = cut(columns[name], keep, from_start=room.from_start)
    return fitted


def cut(column: Ragged, keep: Lengths, *, from_start: bool) -> Ragged:
    """The last `keep` (rows,) ids of each row (`from_start`), or the first ones."""
    if np.array_equal(keep, column.lengths):
        return column
    offsets = np.concatenate([[0], np.cumsum(keep)])  # (rows + 1,)
    first = column.offsets[1:] - keep if from_start else column.offsets[:-1]
    places = np.repeat(first - offsets[:-1], keep) + np.arange(offsets[-1])  # (tokens kept,)
    return Ragged(values=column.values[places], offsets=offsets)


def _too_long(place: str, needed: int, context_length: int, room: Room, refused: bool) -> UserError:
    what = " and ".join((*room.cut, *(("its choice",) if room.whole else ())))
    more = ", or data.too_long=truncate" if refused else ", or shorten what may not be cut"
    return UserError(
        f"{place}: a row longer than the context\n"
        f"  got      {needed} tokens of {what}, {room.special} of them special\n"
        f"  allowed  {context_length} (model.context_length)\n"
        f"  fix      set model.context_length={needed} or more{more}"
    )
