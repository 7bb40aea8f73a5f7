"""Log-probabilities of given texts: beside transformers' loss, alone as in a batch, whatever the padding."""

import random
from typing import Any

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding import scoring
from lit_transformer.decoding.scoring import score_pairs, sequence_log_probability
from lit_transformer.models.seq2seq import Seq2Seq
from tests.decoding.peers import CONTEXT, Peers, gpt, marian, t5

KINDS = {"gpt": gpt, "marian": marian, "t5": t5}
Pairs = list[tuple[list[int], list[int]]]


def make_pairs(count: int = 12) -> Pairs:
    chance = random.Random(0)
    return [
        tuple([chance.randint(2, 21) for _ in range(chance.randint(1, 9))] for _ in range(2))  # type: ignore[misc]
        for _ in range(count)
    ]


def score(peers: Peers, pairs: Pairs, max_tokens: int = 60, **options: Any) -> list[float]:
    start = peers.pad if isinstance(peers.ours, Seq2Seq) else None
    return score_pairs(peers.ours, pairs, max_tokens=max_tokens, start_token=start, pad_token=peers.pad, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_beside_transformers(kind: str) -> None:
    peers, pairs = KINDS[kind](0), make_pairs()
    for (prompt, text), total in zip(pairs, score(peers, pairs), strict=True):
        if kind == "gpt":
            ids = torch.tensor([[*prompt, *text]])
            labels = ids.masked_fill(torch.arange(ids.shape[1]) < len(prompt), -100)
        else:
            ids, labels = torch.tensor([prompt]), torch.tensor([text])
        with torch.no_grad():
            loss = peers.theirs(input_ids=ids, labels=labels).loss  # they shift it, and begin with the pad
        assert total == pytest.approx(-loss.item() * len(text), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_is_in_a_batch_whatever_the_padding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peers, pairs = KINDS[kind](1), make_pairs()
    together = score(peers, pairs, max_tokens=10_000)
    assert score(peers, pairs, max_tokens=1) == pytest.approx(together, abs=1e-4)
    shifted = score_pairs(peers.ours, pairs, max_tokens=60, start_token=peers.pad, pad_token=7)  # another padding
    assert shifted == pytest.approx(together, abs=1e-4)
    order = random.Random(1).sample(range(len(pairs)), len(pairs))
    mixed = score(peers, [pairs[place] for place in order])
    assert mixed == pytest.approx([together[place] for place in order], abs=1e-4)
    monkeypatch.setattr(scoring, "CHUNK_BYTES", {"cpu": 4 * 23 * 3})  # three targets at a time
    assert score(peers, pairs) == pytest.approx(together, abs=1e-4)


@torch.no_grad()
def test_the_first_part_of_a_prefix_lm_is_seen_whole() -> None:
    peers, pairs = gpt(4), make_pairs()
    found = score(peers, pairs, prefix_lm=True)
    for (prompt, text), total in zip(pairs, found, strict=True):
        inputs, whole = torch.tensor([[*prompt, *text][:-1]]), torch.tensor([len(prompt)])
        values = peers.ours(inputs, prefix_length=whole)[0, len(prompt) - 1 :].log_softmax(dim=-1)  # (text, vocab)
        assert total == pytest.approx(values.gather(1, torch.tensor(text)[:, None]).sum().item(), rel=1e-5)
    long = [place for place, (prompt, _) in enumerate(pairs) if len(prompt) > 1]
    causal = score(peers, pairs)
    assert all(abs(found[place] - causal[place]) > 1e-4 for place in long)


def test_choices_of_one_token_are_a_softmax() -> None:
    peers = gpt(2)
    totals = torch.tensor(score(peers, [([3, 4, 5], [token]) for token in range(23)]))
    assert totals.exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_rows_without_targets_score_nothing_and_the_mode_is_kept() -> None:
    peers = gpt(3)
    peers.ours.train()
    ids = torch.randint(23, (2, 5), generator=torch.Generator().manual_seed(0))
    targets = ids.clone()
    targets[1] = -100
    total = sequence_log_probability(peers.ours, ids, targets)
    assert total[0] < 0 and total[1] == 0 and peers.ours.training


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_that_cannot_be_are_refused(kind: str) -> None:
    peers = KINDS[kind](0)
    with pytest.raises(UserError, match=f"tokens; allowed: context_length {CONTEXT}"):
        score(peers, [([3] * (CONTEXT + 1), [4, 5])])
    for pair in (([], [3]), ([3], [])):
        with pytest.raises(UserError, match="an empty prompt or continuation"):
            score(peers, [([3], [4]), pair])
