"""Blocks cover a token stream without loss or repetition."""

import numpy as np
import pytest

from lit_transformer.data.blocks import (
    IGNORED,
    eval_starts,
    gather,
    num_train_blocks,
    train_starts,
)

SHAPES = [(2, 1), (9, 8), (17, 8), (18, 8), (100, 7), (1000, 64), (64, 63), (129, 64), (4097, 16)]


@pytest.mark.parametrize(("tokens", "context"), SHAPES)
def test_evaluation_blocks_join_to_the_stream(tokens: int, context: int) -> None:
    ids = np.random.default_rng(0).integers(0, 60000, tokens).astype(np.uint16)
    starts = eval_starts(tokens, context, 1)
    blocks = gather(ids, starts, context + 1)
    targets = blocks[:, 1:]
    assert np.array_equal(np.concatenate([ids[:1].astype(np.int64), targets[targets != IGNORED]]), ids)


@pytest.mark.parametrize("epoch", range(4))
@pytest.mark.parametrize(("tokens", "context"), SHAPES)
def test_training_blocks_join_to_a_run_of_the_stream(tokens: int, context: int, epoch: int) -> None:
    ids = np.arange(tokens, dtype=np.uint32)
    starts = train_starts(tokens, context, 1, seed=3, epoch=epoch)
    assert len(starts) == num_train_blocks(tokens, context, 1)
    blocks = gather(ids, starts, context + 1)
    assert (blocks >= 0).all()  # no padding inside
    targets = np.sort(blocks[:, 1:].reshape(-1))
    first = int(starts.min())
    assert np.array_equal(targets, np.arange(first + 1, first + 1 + targets.size))  # each once, without a hole
    assert tokens - 1 - targets.size < 2 * context  # little is left out


def test_every_token_is_a_target_in_some_epoch() -> None:
    seen: set[int] = set()
    for epoch in range(60):
        starts = train_starts(100, 7, 1, seed=0, epoch=epoch)
        seen.update(gather(np.arange(100, dtype=np.uint16), starts, 8)[:, 1:].reshape(-1).tolist())
    assert seen == set(range(1, 100))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    starts = {
        (seed, epoch): train_starts(1000, 8, 1, seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)
    }
    assert len({tuple(order) for order in starts.values()}) == 9
    np.random.seed(1)
    assert np.array_equal(starts[1, 2], train_starts(1000, 8, 1, seed=1, epoch=2))
    assert len({int(order.min()) for order in starts.values()}) > 1  # the offset varies


def test_unshuffled_order_is_the_same_in_every_epoch() -> None:
    orders = [train_starts(1000, 8, 1, seed=5, epoch=epoch, shuffle=False) for epoch in range(2)]
    assert np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], np.arange(len(orders[0])) * 8)


def test_rows_of_padding_hold_nothing() -> None:
    blocks = gather(np.arange(50, dtype=np.uint16), np.array([0, -1, 48]), 5)
    assert blocks.tolist() == [[0, 1, 2, 3, 4], [IGNORED] * 5, [48, 49, IGNORED, IGNORED, IGNORED]]


@pytest.mark.parametrize("tokens", [10, 11, 19, 20, 101])
def test_blocks_that_share_nothing(tokens: int) -> None:
    ids = np.arange(tokens, dtype=np.uint16)
    found = gather(ids, eval_starts(tokens, 10, 0), 10)
    assert found[found != IGNORED].tolist() == ids.tolist()
    starts = np.sort(train_starts(tokens, 10, 0, seed=0, epoch=1))
    assert len(starts) == num_train_blocks(tokens, 10, 0) and starts[0] >= 0 and starts[-1] + 10 <= tokens
    assert (np.diff(starts) == 10).all()
