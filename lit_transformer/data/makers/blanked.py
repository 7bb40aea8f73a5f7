"""Blocks of blank infilling: a text with blanks, and behind it what belongs there."""

import numpy as np

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.data.makers.base import (
    Batch,
    BlockMaker,
    Generators,
    Vocabulary,
    context_too_short,
    filled,
    filled_rows,
    lengths_of,
    tensors,
)
from lit_transformer.objectives.blank_infilling import blank_infilling
from lit_transformer.objectives.blanks import BlankSettings, blank_lengths, choose_blanks, raw_length
from lit_transformer.objectives.ids import IGNORED, Flags, Ids


class FilledBlanks(BlockMaker):
    """Blocks as long as still fit with their blanks; short spans make rows of one length, others are filled up.

    No mask tells of the filling: it stands behind everything, where no other place sees it.
    """

    def __init__(self, settings: ObjectiveConfig, context_length: int, vocabulary: Vocabulary) -> None:
        self._pad, self._mask, self._start, self._end = vocabulary.specials.required(
            "pad", "mask", "sop", "eop", by="objective.name=blank_infilling"
        )
        self._how: BlankSettings = {
            "kind": settings.blanks,
            "mask_rate": settings.mask_rate,
            "mean_span": settings.mean_span,
        }
        self.block_length = raw_length(context_length, **self._how)
        if not self.block_length:
            raise context_too_short("blank_infilling", context_length, 3, "[MASK], <sop>, a token")
        self._time, self._slots = blank_lengths(self.block_length, **self._how)
        self._sentence_ends = _sentence_ends(settings, vocabulary)

    def batch(self, ids: Ids, generators: Generators) -> Batch:
        inputs, positions, block_positions = (filled(len(ids), self._time, value) for value in (self._pad, 0, 0))
        targets, places = filled(len(ids), self._slots, IGNORED), filled(len(ids), self._slots)
        prefix_length = np.zeros(len(ids), dtype=np.int64)
        for index, row, generator in filled_rows(ids, generators):
            example = blank_infilling(
                row,
                generator,
                mask_id=self._mask,
                start_id=self._start,
                end_id=self._end,
                sentence_ends=self._ends(row),
                **self._how,
            )
            time, count = len(example.inputs), len(example.targets)
            inputs[index, :time], positions[index, :time] = example.inputs, example.positions
            block_positions[index, :time] = example.block_positions
            targets[index, :count], places[index, :count] = example.targets, example.target_positions
            prefix_length[index] = example.prefix_length
        return tensors(
            inputs=inputs,
            targets=targets,
            target_positions=places,
            positions=positions,
            block_positions=block_positions,
            prefix_length=prefix_length,
        )

    def count(self, ids: Ids, generators: Generators) -> int:
        if self._how["kind"] == "spans":
            found = zip(*np.unique(lengths_of(ids), return_counts=True), strict=True)
            return sum(blank_lengths(int(length), **self._how)[1] * int(rows) for length, rows in found if length)
        blanks = (
            choose_blanks(len(row), generator, sentence_ends=self._ends(row), **self._how)
            for _, row, generator in filled_rows(ids, generators)
        )
        return sum(int(lengths.sum()) + len(lengths) for _, lengths in blanks)

    def _ends(self, row: Ids) -> Flags | None:
        return None if self._sentence_ends is None else self._sentence_ends[row]


def _sentence_ends(settings: ObjectiveConfig, vocabulary: Vocabulary) -> Flags | None:
    if settings.blanks not in ("sentences", "mixed"):
        return None
    ends = vocabulary.sentence_ends()
    if not ends.any():
        raise UserError(
            f"objective.blanks: got {settings.blanks}, but no token of the tokenizer ends a sentence\n"
            "  allowed  a text with . ! ? or line ends in it, and a tokenizer that keeps them\n"
            "  fix      set objective.blanks=spans or document"
        )
    return ends
