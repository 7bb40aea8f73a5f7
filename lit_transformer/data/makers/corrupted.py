"""Blocks of span corruption: a text with sentinels for the encoder, the spans behind them for the decoder."""

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
from lit_transformer.data.special_names import SENTINELS
from lit_transformer.data.specials import missing_specials
from lit_transformer.objectives.ids import IGNORED, Ids
from lit_transformer.objectives.span_corruption import corrupted_lengths, noise_counts, raw_length, span_corruption


class CorruptedSpans(BlockMaker):
    """Blocks as long as still fit: their inputs fill the context, unless the targets do so first."""

    def __init__(self, settings: ObjectiveConfig, context_length: int, vocabulary: Vocabulary) -> None:
        specials = vocabulary.specials
        self._pad, self._end = specials.required("pad", "end", by="objective.name=span_corruption")
        self._how = {"mask_rate": settings.mask_rate, "mean_span": settings.mean_span}
        self.block_length = raw_length(context_length, **self._how)
        if self.block_length < 2:
            raise context_too_short("span_corruption", context_length, 3, "a token, a sentinel, </s>")
        _, spans = noise_counts(self.block_length, **self._how)
        _check_sentinels(len(specials.sentinels), spans, settings, context_length)
        self._sentinels = np.array(specials.sentinels)
        self._time, self._target_time = corrupted_lengths(self.block_length, **self._how)

    def batch(self, ids: Ids, generators: Generators) -> Batch:
        inputs, targets = filled(len(ids), self._time, self._pad), filled(len(ids), self._target_time, IGNORED)
        inputs[:, 0] = self._end  # a row without text, in which every place still has one to attend to
        lengths = np.ones(len(ids), dtype=np.int64)
        for index, row, generator in filled_rows(ids, generators):
            example = span_corruption(row, generator, sentinels=self._sentinels, end_id=self._end, **self._how)
            lengths[index] = len(example.inputs)
            inputs[index, : lengths[index]] = example.inputs
            targets[index, : len(example.targets)] = example.targets
        decoder_inputs = np.full_like(targets, self._pad)  # which begins with the padding, as T5's does
        decoder_inputs[:, 1:] = np.where(targets[:, :-1] == IGNORED, self._pad, targets[:, :-1])
        made = tensors(inputs=inputs, decoder_inputs=decoder_inputs, targets=targets)
        if lengths.min() < self._time:
            made |= tensors(input_mask=np.arange(self._time) < lengths[:, None])
        return made

    def count(self, ids: Ids, generators: Generators) -> int:
        found = zip(*np.unique(lengths_of(ids), return_counts=True), strict=True)
        return sum(corrupted_lengths(int(length), **self._how)[1] * int(rows) for length, rows in found if length)


def _check_sentinels(found: int, spans: int, settings: ObjectiveConfig, context_length: int) -> None:
    if not found:
        raise missing_specials([SENTINELS[0]], "objective.name=span_corruption")
    if spans > found:
        raise UserError(
            f"objective.mean_span: got {settings.mean_span:g}, which takes {spans} spans of a block "
            f"(objective.mask_rate={settings.mask_rate:g}, model.context_length={context_length})\n"
            f"  allowed  {found} spans at most, one for each sentinel of the tokenizer\n"
            "  fix      raise objective.mean_span, or lower objective.mask_rate or model.context_length"
        )
