"""BERT's masking: exact counts, shares, whole words, never a special token, and the ids come back."""

import numpy as np
import pytest

from lit_transformer.objectives.ids import Flags, Ids
from lit_transformer.objectives.masked_lm import MaskedLM, invert_masked_lm, masked_lm
from tests.objectives.chance import fits

VOCABULARY, MASK = 50, 2
SPECIAL = np.arange(VOCABULARY) < 5
STARTS = np.arange(VOCABULARY) % 3 == 0


def text(length: int, seed: int = 0, special: float = 0.1) -> Ids:
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, VOCABULARY, size=length)
    return np.where(generator.random(length) < special, generator.integers(0, 5, size=length), ids)


def mask(ids: Ids, seed: int = 0, **settings: float | Flags | None) -> MaskedLM:
    how = {"mask_rate": 0.15, "mask_share": 0.8, "random_share": 0.1, **settings}
    return masked_lm(ids, np.random.default_rng(seed), mask_id=MASK, special=SPECIAL, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("word_starts", [None, STARTS])
@pytest.mark.parametrize("rate", [0.0, 0.15, 0.5, 0.99])
@pytest.mark.parametrize("length", [1, 2, 3, 17, 128])
def test_inverse_counts_and_special_tokens(length: int, rate: float, word_starts: Flags | None) -> None:
    for seed in range(40):
        ids = text(length, seed)
        inputs, targets, places = example = mask(ids, seed, mask_rate=rate, word_starts=word_starts)
        assert np.array_equal(invert_masked_lm(example), ids)
        free = int((~SPECIAL[ids]).sum())
        exact = min(max(1, round(rate * free)), free)
        assert len(targets) == len(places) <= exact and (word_starts is not None or len(targets) == exact)
        assert (np.diff(places) > 0).all()
        assert not SPECIAL[targets].any()
        changed = inputs != ids
        assert not changed[np.setdiff1d(np.arange(length), places)].any()
        assert not SPECIAL[inputs[changed & (inputs != MASK)]].any()  # nor is one put in


def test_nothing_but_special_tokens_leaves_nothing_to_guess() -> None:
    for word_starts in (None, STARTS):
        inputs, targets, places = mask(np.array([0, 1, 4]), word_starts=word_starts)
        assert inputs.tolist() == [0, 1, 4] and len(targets) == len(places) == 0


@pytest.mark.parametrize(("mask_share", "random_share"), [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.5)])
def test_shares(mask_share: float, random_share: float) -> None:
    fates = np.zeros(3)
    for seed in range(300):
        ids = text(200, seed, special=0)
        inputs, targets, places = mask(ids, seed, mask_share=mask_share, random_share=random_share)
        masked, same = inputs[places] == MASK, inputs[places] == targets
        fates += masked.sum(), (~masked & ~same).sum(), same.sum()
    lucky = random_share / 45  # a random token can be the one that was there
    law = np.array([mask_share, random_share - lucky, 1 - mask_share - random_share + lucky])
    assert (fates[law < 1e-12] == 0).all()
    assert law.max() == 1 or fits(fates[law > 1e-12], law[law > 1e-12])


def test_every_place_and_every_replacement_is_as_likely() -> None:
    ids = text(40, special=0)
    places, tokens = np.zeros(40), np.zeros(VOCABULARY)
    for seed in range(1500):
        example = mask(ids, seed, mask_share=0.0, random_share=1.0)
        places[example.target_positions] += 1
        tokens += np.bincount(example.inputs[example.target_positions], minlength=VOCABULARY)
    assert fits(places) and fits(tokens[5:]) and not tokens[:5].any()


def test_words_are_taken_whole_or_not_at_all() -> None:
    for seed in range(100):
        ids = text(100, seed)
        places = set(mask(ids, seed, word_starts=STARTS, mask_rate=0.3).target_positions.tolist())
        for place in range(1, 100):
            inside = not SPECIAL[ids[place]] and not SPECIAL[ids[place - 1]] and not STARTS[ids[place]]
            assert not inside or (place in places) == (place - 1 in places)


def test_a_word_that_does_not_fit_is_skipped() -> None:
    ids = np.array([6, 7, 8, 10, 11, 13, 14, 9, 12, 15])  # a word of seven tokens, three of one
    for seed in range(50):
        assert set(mask(ids, seed, mask_rate=0.3, word_starts=STARTS).target_positions.tolist()) == {7, 8, 9}
    assert len(mask(ids[:7], word_starts=STARTS).targets) == 0  # nothing fits


def test_a_generator_decides_alone() -> None:
    ids = text(100)
    one, two, three = mask(ids, 5), mask(ids, 5), mask(ids, 6)
    assert all(np.array_equal(left, right) for left, right in zip(one, two, strict=True))
    assert not np.array_equal(one.target_positions, three.target_positions)
