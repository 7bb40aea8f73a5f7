"""T5's span corruption: its lengths, its masks, its sentinels, and the ids come back."""

import numpy as np
import pytest

from lit_transformer.objectives.span_corruption import (
    corrupted_lengths,
    invert_span_corruption,
    noise_counts,
    noise_mask,
    raw_length,
    span_corruption,
)
from tests.objectives.chance import fits

SENTINELS, END = np.arange(900, 1000)[::-1].copy(), 1
SETTINGS = [(0.15, 3.0), (0.15, 1.0), (0.5, 3.0), (0.5, 1.0), (0.9, 10.0), (0.0, 3.0)]


def published_lengths(inputs_length: int, noise_density: float, mean_noise_span_length: float) -> tuple[int, int, int]:
    """Tokens, inputs and targets by T5's rule: grow while the inputs fit; at one half the targets may not be longer.

    It counts no span where the mean length is above twice the noise, but its mask has one: not so short here.
    """

    def lengths(tokens: int) -> tuple[int, int]:
        noise = round(tokens * noise_density)
        spans = round(noise / mean_noise_span_length)
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = inputs_length - 1
    while lengths(tokens + 1)[0] <= inputs_length:
        tokens += 1
    inputs, targets = lengths(tokens)
    if noise_density == 0.5 and targets > inputs:
        tokens, targets = tokens - 1, targets - 1
    return tokens, inputs, targets


@pytest.mark.parametrize(("rate", "mean_span"), [(0.15, 3.0), (0.15, 2.0), (0.15, 10.0), (0.5, 3.0), (0.5, 2.0)])
@pytest.mark.parametrize("context", [64, 100, 114, 128, 256, 512, 1024])
def test_lengths_are_those_of_t5(context: int, rate: float, mean_span: float) -> None:
    tokens = raw_length(context, mask_rate=rate, mean_span=mean_span)
    inputs, targets = corrupted_lengths(tokens, mask_rate=rate, mean_span=mean_span)
    assert (tokens, inputs, targets) == published_lengths(context, rate, mean_span)
    assert inputs == context


def test_the_published_lengths() -> None:
    """Of inputs of 512 tokens, as the paper's code prints them: 568 tokens, targets of 114."""
    assert raw_length(512, mask_rate=0.15, mean_span=3.0) == 568
    assert corrupted_lengths(568, mask_rate=0.15, mean_span=3.0) == (512, 114)


@pytest.mark.parametrize(("rate", "mean_span"), SETTINGS)
def test_both_sides_fit_and_nothing_longer_would(rate: float, mean_span: float) -> None:
    how = {"mask_rate": rate, "mean_span": mean_span}
    for context in range(3, 80):
        tokens = raw_length(context, **how)
        assert max(corrupted_lengths(tokens, **how)) <= context < max(corrupted_lengths(tokens + 1, **how))
        shorter = [corrupted_lengths(length, **how) for length in range(1, tokens + 1)]
        assert shorter == sorted(shorter)  # so rows of fewer tokens fit, too
    assert raw_length(1, **how) == 0


@pytest.mark.parametrize(("rate", "mean_span"), SETTINGS)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 10, 75])
def test_inverse_counts_and_sentinels(length: int, rate: float, mean_span: float) -> None:
    how = {"mask_rate": rate, "mean_span": mean_span}
    for seed in range(40):
        ids = np.random.default_rng(seed).integers(2, 900, size=length)
        example = span_corruption(ids, np.random.default_rng(seed), sentinels=SENTINELS, end_id=END, **how)
        inputs, targets = example
        assert np.array_equal(invert_span_corruption(example, sentinels=SENTINELS), ids)
        noise, spans = noise_counts(length, **how)
        assert (len(inputs), len(targets)) == corrupted_lengths(length, **how)
        assert inputs[-1] == targets[-1] == END
        for side in example:
            assert side[side >= 900].tolist() == SENTINELS[:spans].tolist()  # each once, in order
        assert spans == 0 or (inputs[0] < 900 <= inputs[-2] and targets[0] == SENTINELS[0])
        mask = noise_mask(length, np.random.default_rng(seed), **how)
        assert mask.sum() == noise and (np.diff(mask.astype(int), prepend=0) == 1).sum() == spans


def test_by_hand() -> None:
    """Two of five tokens, each a span, the last one among them: there are two ways."""
    ids = np.array([10, 11, 12, 13, 14])
    found = set()
    for seed in range(50):
        inputs, targets = span_corruption(
            ids, np.random.default_rng(seed), sentinels=SENTINELS, end_id=END, mask_rate=0.4, mean_span=1.0
        )
        found.add((*inputs.tolist(), 0, *targets.tolist()))
    assert found == {
        (10, 999, 12, 13, 998, 1, 0, 999, 11, 998, 14, 1),
        (10, 11, 999, 13, 998, 1, 0, 999, 12, 998, 14, 1),
    }


def test_every_mask_is_as_likely() -> None:
    generator, counts = np.random.default_rng(0), dict[bytes, int]()
    for _ in range(6000):
        mask = noise_mask(12, generator, mask_rate=0.5, mean_span=2.0)
        counts[mask.tobytes()] = counts.get(mask.tobytes(), 0) + 1
    assert len(counts) == 100  # (5 over 2) divisions of six tokens into three spans, on either side
    assert fits(list(counts.values()))
