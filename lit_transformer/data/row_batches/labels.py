"""Rows for a head on top of BERT or GPT: a class of each text, or one of its choices."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.blocks import IGNORED
from lit_transformer.data.buckets import Buckets
from lit_transformer.data.row_batches.sequences import Arrays, Rows, Sequences, input_mask, without_choices
from lit_transformer.data.sampler import PADDING


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """Texts -> labels: inputs (rows, time), or (rows, choices, time) where it chooses, and targets (rows,)."""

    layouts: tuple[Sequences, ...]
    """The sequence of each choice; one to classify."""
    labels: NDArray[np.int64]
    """(split's rows,)."""
    chooses: bool
    pad: int

    @cached_property
    def _buckets(self) -> Buckets:
        return Buckets(np.max([layout.lengths for layout in self.layouts], axis=0))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Of the longest choice: (split's rows,)."""
        return self._buckets.lengths

    @property
    def sequences(self) -> int:
        """Choices of a row."""
        return len(self.layouts)

    def batch(self, rows: Rows, window: Rows) -> Arrays:
        """What a Classifier's or a Chooser's loss takes."""
        time = self._buckets.time(window)
        ids = np.stack([layout.ids(rows, time, self.pad) for layout in self.layouts], axis=1)  # (rows, choices, time)
        arrays = {"inputs": ids, **self._beside(ids, rows, window)}
        targets = np.where(rows == PADDING, IGNORED, self.labels[rows])  # (rows,)
        return {**(arrays if self.chooses else without_choices(arrays)), "targets": targets}

    def count(self, rows: Rows) -> int:
        """Rows that are not PADDING."""
        return int((rows != PADDING).sum())

    @abstractmethod
    def _beside(self, ids: NDArray[np.int64], rows: Rows, window: Rows) -> Arrays:
        """What the network's body needs beside ids (rows, choices, time)."""


@dataclass(frozen=True, kw_only=True)
class BertRows(LabelRows):
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP] (Devlin et al. 2019, section 3)."""

    first: Sequences
    """The first segment."""
    token_types: int
    """Kinds of segments that the network knows; with one, [SEP] alone tells them apart."""

    def _beside(self, ids: NDArray[np.int64], rows: Rows, window: Rows) -> Arrays:
        time = ids.shape[-1]
        lengths = np.stack([layout.real_lengths(rows) for layout in self.layouts], axis=1)[..., None]
        places, first = np.arange(time), self.first.real_lengths(rows)[:, None, None]
        in_second = (places >= first) & (places < lengths)  # (rows, choices, time)
        types = in_second.astype(np.int64) * min(1, self.token_types - 1)
        return {"token_types": types, **input_mask(self.layouts, rows, window, time)}


@dataclass(frozen=True, kw_only=True)
class GPTRows(LabelRows):
    """<start> first <extract>, or <start> first <delimiter> second <extract> (Radford et al. 2018, section 3.3)."""

    def _beside(self, ids: NDArray[np.int64], rows: Rows, window: Rows) -> Arrays:
        lengths = np.stack([layout.real_lengths(rows) for layout in self.layouts], axis=1)  # (rows, choices)
        following = np.full_like(ids, IGNORED)
        following[..., :-1] = ids[..., 1:]
        following[np.arange(1, ids.shape[-1] + 1) >= lengths[..., None]] = IGNORED
        return {"ends": np.maximum(lengths - 1, 0), "lm_targets": following}
