"""Rows for GPT as text: a prompt, and the answers whose likelihood is compared (Radford et al. 2019)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.blocks import IGNORED
from lit_transformer.data.buckets import Buckets
from lit_transformer.data.prepared_rows import Ragged
from lit_transformer.data.row_batches.sequences import Arrays, Rows, Sequences, without_choices
from lit_transformer.data.sampler import PADDING


@dataclass(frozen=True, kw_only=True)
class AnswerRows:
    """Prompt -> answer: inputs and targets (rows, time), the targets being the answer's tokens alone.

    With `labels` there are several answers to compare, and inputs and targets are (rows, choices, time). The end, where
    there is one, is a part of the answer: without it `twenty` would always be likelier than `twenty one`.
    """

    prompt: tuple[int | Ragged, ...]
    """At least one token in each row."""
    answers: tuple[Ragged, ...]
    end: tuple[int, ...]
    """What follows an answer: the end-of-text token, or nothing."""
    right: Ragged
    """Of each row the answer that is right."""
    labels: NDArray[np.int64] | None = None
    """Which of several answers is right, (split's rows,)."""
    pad: int

    @cached_property
    def _prompt(self) -> Sequences:
        return Sequences(self.prompt)

    @cached_property
    def _layouts(self) -> tuple[Sequences, ...]:
        return tuple(Sequences((*self.prompt, answer, *self.end)) for answer in self.answers)

    @cached_property
    def _counted(self) -> Sequences:
        return Sequences((self.right, *self.end))

    @cached_property
    def _buckets(self) -> Buckets:
        # the last token is only a target
        return Buckets(np.max([layout.lengths for layout in self._layouts], axis=0) - 1)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Of prompt and longest answer: (split's rows,)."""
        return self._buckets.lengths

    @property
    def sequences(self) -> int:
        """Answers of a row."""
        return len(self.answers)

    def batch(self, rows: Rows, window: Rows) -> Arrays:
        """What GPT's loss takes, and `labels` (rows,) where there are several answers."""
        time = self._buckets.time(window)
        ids = np.stack([layout.ids(rows, time + 1, self.pad) for layout in self._layouts], axis=1)
        lengths = np.stack([layout.real_lengths(rows) for layout in self._layouts], axis=1)  # (rows, choices)
        places, first = np.arange(1, time + 1), self._prompt.real_lengths(rows)
        in_answer = (places >= first[:, None, None]) & (places < lengths[..., None])  # (rows, choices, time)
        arrays: Arrays = {"inputs": ids[..., :-1], "targets": np.where(in_answer, ids[..., 1:], IGNORED)}
        if self.labels is None:
            return without_choices(arrays)
        return {**arrays, "labels": np.where(rows == PADDING, IGNORED, self.labels[rows])}

    def count(self, rows: Rows) -> int:
        """Tokens of the right answers."""
        return int(self._counted.real_lengths(rows).sum())
