"""Beam search beside transformers' `generate` with the same weights: the same tokens, for many small networks."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.decoding.peers import Found, Peers, gpt, marian, random_sources, t5

KINDS: dict[str, Callable[..., Peers]] = {"marian": marian, "t5": t5, "gpt": gpt}
LENGTHS, PENALTIES, STEPS = [1, 2, 5, 12, 15], [0.0, 0.6, 1.0, 2.0, -1.0], [0, 15, 20, 25]


def draw_options(chance: random.Random, vocab_size: int) -> dict[str, Any]:
    sizes = [1, 2, 3, 4, 5, *([9] if vocab_size == 40 else [])]  # theirs needs 2 x beam_size different first tokens
    beam_size, max_length = chance.choice(sizes), chance.choice(LENGTHS)
    return {
        "beam_size": beam_size,
        "max_length": max_length,
        "length_penalty": chance.choice(PENALTIES),
        "min_length": chance.choice([0, 0, 3]) if max_length > 3 else 0,
        "n_best": chance.randint(1, beam_size),
    }


def tokens(found: Found) -> list[list[list[int]]]:
    return [[ids for ids, _ in texts] for texts in found]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tokens_and_scores(kind: str, seed: int) -> None:
    chance = random.Random(f"{kind} {seed}")
    vocab_size = chance.choice([14, 23, 40])
    peers = KINDS[kind](seed, steps=STEPS[seed % len(STEPS)], vocab_size=vocab_size)
    inputs, mask = random_sources(peers, seed)
    for _ in range(4):
        options = draw_options(chance, vocab_size)
        ours, theirs = peers.decode(inputs, mask, **options), peers.generate(inputs, mask, **options)
        assert tokens(ours) == tokens(theirs), options
        if options["beam_size"] > 1:
            scores = [score for texts in ours for _, score in texts]
            assert scores == pytest.approx([score for texts in theirs for _, score in texts], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_proof_above_decodes_texts_of_many_lengths(kind: str) -> None:
    peers = KINDS[kind](0, steps=25)
    found = peers.decode(*random_sources(peers, 0), beam_size=4, max_length=12)
    assert len({len(texts[0][0]) for texts in found}) >= 2
    assert sum(len(set(texts[0][0])) for texts in found) > 3 * len(found)


@pytest.mark.parametrize("kind", ["marian", "t5"])
def test_also_in_float32_and_with_a_larger_vocabulary(kind: str) -> None:
    peers = KINDS[kind](0, steps=20, vocab_size=2000, d_model=32)  # so large that `top` looks for blocks
    peers.ours.float()
    peers.theirs.float()
    inputs, mask = random_sources(peers, 0)
    options: dict[str, Any] = {"beam_size": 5, "max_length": 15, "n_best": 2}
    assert tokens(peers.decode(inputs, mask, **options)) == tokens(peers.generate(inputs, mask, **options))
