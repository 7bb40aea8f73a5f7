"""Span corruption: write down the spans that sentinels stand for (Raffel et al. 2020, section 3.1.4)."""

from typing import NamedTuple

import numpy as np

from lit_transformer.objectives.ids import Flags, Ids
from lit_transformer.objectives.spans import random_segmentation


class SpanCorruption(NamedTuple):
    """One row: what the encoder reads, and what the decoder writes."""

    inputs: Ids
    """(time,): the text with a sentinel for each span, and the end token."""
    targets: Ids
    """(target_time,): each sentinel with its span, and the end token."""


def noise_counts(length: int, *, mask_rate: float, mean_span: float) -> tuple[int, int]:
    """Tokens and spans taken of a text of `length` tokens; none of a single token, since a text begins with its own."""
    if length < 2:
        return 0, 0
    noise = min(max(round(length * mask_rate), 1), length - 1)
    spans = max(round(noise / mean_span), 1)
    return noise, min(spans, noise, length - noise)


def corrupted_lengths(length: int, *, mask_rate: float, mean_span: float) -> tuple[int, int]:
    """Lengths of inputs and targets that a text of `length` tokens becomes."""
    noise, spans = noise_counts(length, mask_rate=mask_rate, mean_span=mean_span)
    return length - noise + spans + 1, noise + spans + 1


def raw_length(context_length: int, *, mask_rate: float, mean_span: float) -> int:
    """Tokens of the longest text whose inputs and targets both fit into `context_length`; 0 where none does.

    T5's `compute_input_and_target_lengths`, which looks at the inputs alone (but for a rate of one half).
    """
    length = 0
    while max(corrupted_lengths(length + 1, mask_rate=mask_rate, mean_span=mean_span)) <= context_length:
        length += 1
    return length


def noise_mask(length: int, generator: np.random.Generator, *, mask_rate: float, mean_span: float) -> Flags:
    """Which tokens are taken: (length,), with every mask of these counts that begins with a kept token as likely.

    Kept and taken spans alternate, and the last one is taken: T5's `random_spans_noise_mask`.
    """
    noise, spans = noise_counts(length, mask_rate=mask_rate, mean_span=mean_span)
    if not spans:
        return np.zeros(length, dtype=np.bool_)
    lengths = np.empty((spans, 2), dtype=np.int64)
    lengths[:, 1] = random_segmentation(noise, spans, generator)
    lengths[:, 0] = random_segmentation(length - noise, spans, generator)
    return np.repeat(np.tile([False, True], spans), lengths.ravel())


def span_corruption(
    ids: Ids,
    generator: np.random.Generator,
    *,
    sentinels: Ids,
    end_id: int,
    mask_rate: float,
    mean_span: float,
) -> SpanCorruption:
    """Ids (time,) -> a row whose spans become sentinels, (most spans,) of them given in order.

    As in T5's code, not in the paper's figure, no sentinel follows the last span: the text ends with it.
    """
    noise = noise_mask(len(ids), generator, mask_rate=mask_rate, mean_span=mean_span)
    first = noise & ~np.concatenate(([False], noise[:-1]))  # of each span
    starts = np.flatnonzero(first)
    marked = ids.copy()
    marked[starts] = sentinels[: len(starts)]
    inputs = np.append(marked[~noise | first], end_id)
    targets = np.insert(ids[noise], noise.cumsum()[starts] - 1, sentinels[: len(starts)])
    return SpanCorruption(inputs=inputs, targets=np.append(targets, end_id))


def invert_span_corruption(example: SpanCorruption, *, sentinels: Ids) -> Ids:
    """The ids (time,) that `span_corruption` was given."""
    inputs, targets = example.inputs[:-1], example.targets[:-1]
    starts = np.flatnonzero(np.isin(targets, sentinels))
    spans = np.split(targets, starts)[1:]
    places = np.flatnonzero(np.isin(inputs, sentinels))
    parts = np.split(inputs, places)
    whole = [parts[0]] + [piece for span, part in zip(spans, parts[1:], strict=True) for piece in (span[1:], part[1:])]
    return np.concatenate(whole)
