"""Blocks of masked language modelling: [CLS] tokens [SEP], or two segments for next-sentence prediction."""

from copy import copy

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.data.makers.base import (
    Batch,
    BlockMaker,
    Generators,
    Vocabulary,
    context_too_short,
    filled,
    filled_rows,
    tensors,
)
from lit_transformer.objectives.ids import IGNORED, Ids
from lit_transformer.objectives.masked_lm import masked_lm, masked_places
from lit_transformer.objectives.next_sentence import SentencePair, sentence_pair
from lit_transformer.objectives.spans import num_masked


class MaskedTokens(BlockMaker):
    """Rows of context_length places, with as many places for targets as a full block without special tokens needs."""

    def __init__(self, settings: ObjectiveConfig, context_length: int, vocabulary: Vocabulary) -> None:
        self._pad, self._cls, self._sep, self._mask = vocabulary.specials.required(
            "pad", "cls", "sep", "mask", by="objective.name=masked_lm"
        )
        self._pairs, self._settings, self._context_length = settings.next_sentence, settings, context_length
        needed, why = (5, "[CLS] a [SEP] b [SEP]") if self._pairs else (3, "[CLS], a token, [SEP]")
        if context_length < needed:
            raise context_too_short("masked_lm", context_length, needed, why)
        self.block_length = context_length - (3 if self._pairs else 2)
        self._slots = num_masked(self.block_length, settings.mask_rate)
        self._special = vocabulary.specials.flags(vocabulary.size)
        self._word_starts = vocabulary.word_starts() if settings.whole_words else None
        self._stream: NDArray[np.integer] | None = None

    def reading(self, stream: NDArray[np.integer]) -> "MaskedTokens":
        maker = copy(self)
        maker._stream = stream
        return maker

    def batch(self, ids: Ids, generators: Generators) -> Batch:
        rows, time = len(ids), self._context_length
        inputs, token_types = filled(rows, time, self._pad), filled(rows, time)
        inputs[:, :2] = self._cls, self._sep  # a row without text, in which every place still has one to attend to
        lengths, next_sentence = np.full(rows, 2), np.full(rows, IGNORED)
        targets, places = filled(rows, self._slots, IGNORED), filled(rows, self._slots)
        for index, row, generator in filled_rows(ids, generators):
            whole = self._framed(row, generator)
            example = masked_lm(
                whole.inputs,
                generator,
                mask_id=self._mask,
                special=self._special,
                mask_rate=self._settings.mask_rate,
                mask_share=self._settings.mask_share,
                random_share=self._settings.random_share,
                word_starts=self._word_starts,
            )
            lengths[index], count = len(example.inputs), len(example.targets)
            inputs[index, : lengths[index]] = example.inputs
            targets[index, :count], places[index, :count] = example.targets, example.target_positions
            token_types[index, : lengths[index]], next_sentence[index] = whole.token_types, whole.next_sentence
        made = tensors(inputs=inputs, targets=targets, target_positions=places)
        if self._pairs:
            made |= tensors(token_types=token_types, next_sentence=next_sentence)
        if lengths.min() < time:
            made |= tensors(input_mask=np.arange(time) < lengths[:, None])
        return made

    def count(self, ids: Ids, generators: Generators) -> int:
        if not self._pairs and self._word_starts is None:
            free = ~self._special[np.maximum(ids, 0)] & (ids != IGNORED)  # (rows, block_length)
            return sum(num_masked(length, self._settings.mask_rate) for length in free.sum(axis=1).tolist())
        return sum(len(self._places(row, generator)) for _, row, generator in filled_rows(ids, generators))

    def _places(self, row: Ids, generator: np.random.Generator) -> Ids:
        return masked_places(
            self._framed(row, generator).inputs,
            generator,
            special=self._special,
            mask_rate=self._settings.mask_rate,
            word_starts=self._word_starts,
        )

    def _framed(self, row: Ids, generator: np.random.Generator) -> SentencePair:
        if self._pairs:
            if self._stream is None:
                raise RuntimeError("next_sentence draws text from the stream: call `reading` first")
            return sentence_pair(row, generator, stream=self._stream, cls_id=self._cls, sep_id=self._sep)
        inputs = np.concatenate(([self._cls], row, [self._sep]))
        return SentencePair(inputs, np.zeros(len(inputs), dtype=np.int64), IGNORED)
