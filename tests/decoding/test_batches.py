"""Batches by length: every row once, within the budget, answers in the order of the rows."""

import random

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.batches import in_batches, length_batches, pad


@pytest.mark.parametrize("max_tokens", [1, 7, 40, 10_000])
@pytest.mark.parametrize("seed", range(5))
def test_batches_hold_every_row_once_and_keep_to_the_budget(seed: int, max_tokens: int) -> None:
    chance = random.Random(seed)
    lengths = [chance.randint(1, 30) for _ in range(chance.randint(0, 80))]
    batches = length_batches(lengths, max_tokens)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= max_tokens
    longest = [lengths[batch[0]] for batch in batches]
    assert longest == sorted(longest, reverse=True)
    if max_tokens == 10_000:
        assert len(batches) == bool(lengths)


def test_answers_come_in_the_order_of_the_rows_and_progress_is_told() -> None:
    chance = random.Random(0)
    texts = ["x" * chance.randint(1, 40) + str(number) for number in range(200)]
    told: list[tuple[int, int]] = []
    answers = in_batches(
        texts,
        lambda batch: [text.upper() for text in batch],
        lengths=[len(text) for text in texts],
        max_tokens=100,
        progress=lambda done, total: told.append((done, total)),
    )
    assert answers == [text.upper() for text in texts]
    assert [done for done, _ in told] == sorted({done for done, _ in told}) and len(told) > 10
    assert told[-1] == (200, 200) and all(total == 200 for _, total in told)
    assert in_batches([], lambda batch: batch, lengths=[], max_tokens=5) == []


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="max_tokens: got 0; allowed: 1 or more"):
        in_batches(["a"], lambda batch: batch, lengths=[1], max_tokens=0)
    with pytest.raises(ValueError, match="shorter"):
        in_batches(["a", "b"], lambda batch: batch[:1], lengths=[1, 1], max_tokens=9)


def test_padding_is_on_the_right_and_masked() -> None:
    ids, mask = pad([[5, 6, 7], [8], []], 0)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
    assert mask.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    assert pad([], 0)[0].shape == (0, 0) and ids.dtype == torch.int64
