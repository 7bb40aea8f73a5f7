"""Beam search beside transformers' `generate` with the same weights: the same tokens, for many random networks."""

import random
from collections.abc import Callable

import pytest
import torch

from lit_transformer.models.seq2seq import Seq2Seq
from tests.decoding.peers import Peers, gpt, marian, random_sources, t5

KINDS = {"marian": marian, "t5": t5, "gpt": gpt}
LENGTHS, PENALTIES, STOPS = [1, 2, 5, 12, 15], [0.0, 0.6, 1.0, 2.0, -1.0], [0, 1, 2, 3, 5, 8]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_tokens_and_scores(kind: str, seed: int) -> None:
    make: Callable[..., Peers] = KINDS[kind]
    chance = random.Random(f"{kind} {seed}")
    vocab_size = chance.choice([8, 12, 40])
    peers = make(seed, vocab_size=vocab_size, std=chance.choice([0.1, 0.2, 0.3]))
    inputs, mask = random_sources(peers, seed)
    peers = peers.with_stop(inputs, mask, chance.choice(STOPS))
    sizes = [1, 2, 3, 4, *([7] if vocab_size == 40 else [])]  # 2 x beam_size tokens can be told apart from the start
    for _ in range(4):
        beam_size, max_length = chance.choice(sizes), chance.choice(LENGTHS)
        options = {
            "beam_size": beam_size,
            "max_length": max_length,
            "length_penalty": chance.choice(PENALTIES),
            "min_length": chance.choice([0, 0, 3]) if max_length > 3 else 0,
            "n_best": chance.randint(1, beam_size),
        }
        ours, theirs = peers.decode(inputs, mask, **options), peers.generate(inputs, mask, **options)
        for own, other in zip(ours, theirs, strict=True):
            assert [ids for ids, _ in own] == [ids for ids, _ in other], options
            if beam_size > 1:
                assert [score for _, score in own] == pytest.approx([score for _, score in other], rel=1e-5)


@pytest.mark.parametrize("kind", ["marian", "t5"])
def test_texts_end_at_different_lengths(kind: str) -> None:
    """The proof above is worth something: in these networks some texts stop early, and some never."""
    lengths = set()
    for seed, place in enumerate(STOPS):
        peers = KINDS[kind](seed, vocab_size=12)
        inputs, mask = random_sources(peers, seed)
        peers = peers.with_stop(inputs, mask, place)
        lengths |= {len(texts[0][0]) for texts in peers.decode(inputs, mask, beam_size=3, max_length=12)}
    assert len(lengths) >= 3 and isinstance(peers.ours, Seq2Seq)


@pytest.mark.parametrize("kind", ["marian", "t5"])
def test_also_in_float32_and_with_a_larger_vocabulary(kind: str) -> None:
    peers = KINDS[kind](0, vocab_size=2000, d_model=32)  # our `top` looks for blocks
    peers.ours.float()
    peers.theirs.float()
    inputs, mask = random_sources(peers, 0, rows=9)
    options = {"beam_size": 5, "max_length": 15, "n_best": 2}
    ours, theirs = peers.decode(inputs, mask, **options), peers.generate(inputs, mask, **options)
    assert [[ids for ids, _ in own] for own in ours] == [[ids for ids, _ in other] for other in theirs]
    assert torch.get_default_dtype() == torch.float32
