"""What blank infilling takes away: exact shares, no overlap, whole sentences, half a document or more."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from lit_transformer.objectives.blanks import Blanks, blank_lengths, choose_blanks, raw_length, sentence_blanks
from lit_transformer.objectives.spans import num_masked, num_spans
from tests.objectives.chance import fits


def taken(length: int, seed: int | np.random.Generator, **settings: Any) -> Blanks:
    """Spans of BERT's share, three tokens each, unless other settings are given."""
    how = {"kind": "spans", "mask_rate": 0.15, "mean_span": 3.0, **settings}
    return choose_blanks(length, np.random.default_rng(seed), **how)


def intervals(blanks: tuple[np.ndarray, np.ndarray]) -> list[tuple[int, int]]:
    return sorted((int(start), int(start + length)) for start, length in zip(*blanks, strict=True))


@pytest.mark.parametrize(("rate", "mean_span"), [(0.15, 3.0), (0.0, 3.0), (0.5, 1.0), (0.9, 2.0), (0.99, 1.0)])
@pytest.mark.parametrize("length", [1, 2, 3, 10, 100])
def test_spans_take_the_exact_share(length: int, rate: float, mean_span: float) -> None:
    masked = num_masked(length, rate)
    spans = num_spans(masked, mean_span)
    for seed in range(40):
        blanks = taken(length, seed, mask_rate=rate, mean_span=mean_span)
        found = intervals(blanks)
        assert len(found) == spans and blanks.lengths.sum() == masked and blanks.lengths.min() >= 1
        assert found[0][0] >= 0 and found[-1][1] <= length
        gap = int(length - masked >= spans - 1)
        assert all(later >= end + gap for (_, end), (later, _) in pairwise(found))


def test_every_placing_and_order_is_as_likely() -> None:
    """Two spans of one token among seven, in either order: fifteen pairs that do not touch."""
    counts = np.zeros((7, 7))
    generator = np.random.default_rng(0)
    for _ in range(6000):
        starts, lengths = taken(7, generator, mask_rate=2 / 7, mean_span=1.0)
        assert lengths.tolist() == [1, 1]
        counts[tuple(starts)] += 1
    apart = np.abs(np.subtract.outer(np.arange(7), np.arange(7))) > 1
    assert not counts[~apart].any() and fits(counts[apart])


def test_mean_span() -> None:
    found = [taken(126, seed).lengths for seed in range(50)]
    assert {(len(lengths), int(lengths.sum())) for lengths in found} == {(6, 19)}


def test_a_document_loses_its_end() -> None:
    sizes = []
    for seed in range(3000):
        blanks = taken(11, seed, kind="document")
        ((start, end),) = intervals(blanks)
        assert end == 11
        sizes.append(end - start)
    counts = np.bincount(sizes, minlength=12)
    assert not counts[:6].any() and fits(counts[6:])
    for length, least in ((1, 1), (2, 1), (3, 2)):
        found = {int(taken(length, seed, kind="document").lengths[0]) for seed in range(40)}
        assert found == set(range(least, length + 1))


def test_sentences_are_whole_and_within_the_share() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        ends = generator.random(80) < 0.2
        blanks = sentence_blanks(ends, generator, mask_rate=0.3, mean_span=3.0)
        for start, end in intervals(blanks):
            assert ends[start - 1] and ends[end - 1] and not ends[start : end - 1].any()
        assert blanks.lengths.sum() <= 24 and len(blanks.lengths) <= 8
        assert len(set(blanks.starts.tolist())) == len(blanks.starts)


def test_without_a_sentence_that_fits_spans_are_taken() -> None:
    for ends in (np.zeros(20, dtype=bool), np.arange(20) % 10 == 0):  # the only whole one is longer than three tokens
        blanks = taken(20, 0, kind="sentences", sentence_ends=ends)
        assert blanks.lengths.sum() == 3


def test_mixed_is_each_in_turn() -> None:
    ends = np.arange(100) % 10 == 0
    kinds = {"spans": 0, "sentences": 0, "document": 0}
    for seed in range(900):
        blanks = taken(100, seed, kind="mixed", sentence_ends=ends)
        if blanks.lengths[0] >= 50:
            kinds["document"] += 1
        elif blanks.lengths.tolist() == [10]:
            kinds["sentences"] += 1
        else:
            kinds["spans"] += 1
    assert fits(list(kinds.values()))


@pytest.mark.parametrize("kind", ["spans", "sentences", "document", "mixed"])
@pytest.mark.parametrize(("rate", "mean_span"), [(0.15, 3.0), (0.9, 2.0), (0.5, 1.0)])
def test_lengths_hold_and_the_context_is_used(kind: str, rate: float, mean_span: float) -> None:
    how = {"kind": kind, "mask_rate": rate, "mean_span": mean_span}
    for context in (3, 4, 5, 16, 64):
        length = raw_length(context, **how)  # type: ignore[arg-type]
        inputs, targets = blank_lengths(length, **how)  # type: ignore[arg-type]
        assert inputs <= context < blank_lengths(length + 1, **how)[0]  # type: ignore[arg-type]
        for seed in range(30):
            generator = np.random.default_rng(seed)
            blanks = choose_blanks(length, generator, sentence_ends=generator.random(length) < 0.4, **how)  # type: ignore[arg-type]
            made = (length + 2 * len(blanks.lengths), int(blanks.lengths.sum()) + len(blanks.lengths))
            assert made[0] <= inputs and made[1] <= targets
            assert kind != "spans" or made == (inputs, targets)
    assert raw_length(2, **how) == 0  # type: ignore[arg-type]
