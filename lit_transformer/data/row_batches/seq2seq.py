"""Rows for an encoder and a decoder: translations, text to text, and answers to a prompt."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.blocks import IGNORED
from lit_transformer.data.buckets import Buckets
from lit_transformer.data.prepared_rows import Ragged
from lit_transformer.data.row_batches.sequences import Arrays, Rows, Sequences, input_mask, without_choices
from lit_transformer.data.sampler import PADDING


@dataclass(frozen=True, kw_only=True)
class Seq2SeqRows:
    """Source -> target: inputs (rows, time), decoder_inputs and targets (rows, target_time), input_mask.

    The decoder starts with the padding token, as T5 and Marian do. With `labels` there are several targets to compare,
    decoder_inputs and targets are (rows, choices, target_time), and only those of the right one count.
    """

    source: Ragged
    targets: tuple[Ragged, ...]
    right: Ragged
    """Of each row the target that is right."""
    labels: NDArray[np.int64] | None = None
    """Which of several targets is right, (split's rows,)."""
    numbered: bool = False
    """Batches say as `rows` which rows they are of."""
    pad: int
    end: int

    @cached_property
    def _source(self) -> Sequences:
        return Sequences((self.source, self.end))

    @cached_property
    def _decoder(self) -> tuple[Sequences, ...]:
        return tuple(Sequences((self.pad, target)) for target in self.targets)

    @cached_property
    def _target(self) -> tuple[Sequences, ...]:
        return tuple(Sequences((target, self.end)) for target in self.targets)

    @cached_property
    def _counted(self) -> Sequences:
        return Sequences((self.right, self.end))

    @cached_property
    def _source_buckets(self) -> Buckets:
        return Buckets(self._source.lengths)

    @cached_property
    def _target_buckets(self) -> Buckets:
        return Buckets(np.max([target.lengths for target in self._target], axis=0))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Of the longer side: (split's rows,)."""
        return np.maximum(self._source_buckets.lengths, self._target_buckets.lengths)

    @property
    def sequences(self) -> int:
        """Targets of a row."""
        return len(self.targets)

    def batch(self, rows: Rows, window: Rows) -> Arrays:
        """What an encoder-decoder's loss takes, and `labels` or `rows` (rows,) where wanted."""
        time, target_time = self._source_buckets.time(window), self._target_buckets.time(window)
        inputs = self._source.ids(rows, time, self.pad)  # (rows, time)
        masks = without_choices(input_mask([self._source], rows, window, time))  # (rows, time)
        decoder = [layout.ids(rows, target_time, self.pad) for layout in self._decoder]
        targets = [layout.ids(rows, target_time, IGNORED) for layout in self._target]
        sides: Arrays = {"decoder_inputs": np.stack(decoder, axis=1), "targets": np.stack(targets, axis=1)}
        batch = {"inputs": inputs, **masks, **(without_choices(sides) if self.labels is None else sides)}
        if self.labels is not None:
            batch["labels"] = np.where(rows == PADDING, IGNORED, self.labels[rows])  # (rows,)
        return {**batch, "rows": rows.copy()} if self.numbered else batch

    def count(self, rows: Rows) -> int:
        """Tokens of the right targets, the end included."""
        return int(self._counted.real_lengths(rows).sum())
