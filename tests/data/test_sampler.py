"""The order of batches does not depend on ranks, accumulation, or where a run continues."""

from itertools import islice

import numpy as np
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import TrainerConfig
from lit_transformer.data.blocks import num_train_blocks, train_starts
from lit_transformer.data.sampler import PADDING, EpochSampler, FixedOrder, Plan, PlanSampler, Sharding, limited_batches

TOKENS, CONTEXT, BATCH = 1003, 8, 12


def sampler(
    *, accumulate: int = 1, rank: int = 0, world_size: int = 1, limit: int | None = None, done: int = 0
) -> PlanSampler:
    order = FixedOrder(
        lambda epoch: train_starts(TOKENS, CONTEXT, 1, seed=1, epoch=epoch), num_train_blocks(TOKENS, CONTEXT, 1), BATCH
    )
    return PlanSampler(
        order,
        Sharding(accumulate=accumulate, rank=rank, world_size=world_size),
        limit=limit,
        steps_done=lambda: done,
    )


def plans(accumulate: int, world_size: int) -> list[Plan]:
    """Plans of all ranks, in the order micro-batches of ranks stand in a global batch."""
    ranks = [
        list(sampler(accumulate=accumulate, rank=rank, world_size=world_size).epoch(0)) for rank in range(world_size)
    ]
    assert len({len(rank) for rank in ranks}) == 1
    return [plan for group in zip(*ranks, strict=True) for plan in group]


@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 2), (2, 1), (2, 2), (3, 2), (1, 4), (12, 1)])
def test_ranks_and_accumulation_share_one_order(accumulate: int, world_size: int) -> None:
    single, parts = plans(1, 1), plans(accumulate, world_size)
    assert np.array_equal(np.concatenate([plan.rows for plan in parts]), np.concatenate([plan.rows for plan in single]))
    windows = [plan.window.tolist() for plan in parts]
    group = accumulate * world_size
    assert windows[::group] == [plan.rows.tolist() for plan in single]
    assert all(windows[at] == windows[at // group * group] for at in range(len(windows)))
    assert {plan.rows.shape for plan in parts} == {(BATCH // group,)}


def test_two_ranks_equal_one_rank_with_two_micro_batches() -> None:
    two_ranks, two_micro_batches = plans(1, 2), plans(2, 1)
    for left, right in zip(two_ranks, two_micro_batches, strict=True):
        assert np.array_equal(left.rows, right.rows)
        assert np.array_equal(left.window, right.window)


def test_every_block_once_and_ragged_window_counted() -> None:
    blocks = num_train_blocks(TOKENS, CONTEXT, 1)
    assert blocks % BATCH  # the last batch is short, or this proves nothing
    epoch = plans(2, 2)
    starts = np.concatenate([plan.rows for plan in epoch])
    assert len(starts) == -(-blocks // BATCH) * BATCH
    real = starts[starts != PADDING]
    assert np.array_equal(np.sort(real), np.sort(train_starts(TOKENS, CONTEXT, 1, seed=1, epoch=0)))
    assert (epoch[0].window != PADDING).all()
    assert (epoch[-1].window != PADDING).sum() == blocks % BATCH
    assert (epoch[-1].rows == PADDING).all()  # a rank without rows still gets a batch


@pytest.mark.parametrize("limit", [None, 5])
def test_a_run_goes_on_at_any_step_of_any_epoch(limit: int | None) -> None:
    steps = sampler(accumulate=2, limit=limit).steps_per_epoch
    whole = list(islice(sampler(accumulate=2, limit=limit), 3 * 2 * steps))
    assert [(plan.epoch, plan.step) for plan in whole[::2]] == [(epoch, s) for epoch in range(3) for s in range(steps)]
    for done in range(3 * steps):
        resumed = islice(sampler(accumulate=2, limit=limit, done=done), 2)
        for found, expected in zip(resumed, whole[2 * done :], strict=False):
            assert np.array_equal(found.rows, expected.rows)
            assert np.array_equal(found.window, expected.window)
            assert (found.epoch, found.step) == (expected.epoch, expected.step)


def test_epochs_differ_and_repeat_exactly() -> None:
    first, second, again = (
        [plan.rows.tolist() for plan in sampler().epoch(epoch)] for epoch in (0, 1, 0)
    )  # fmt: skip
    assert first == again != second


def test_an_epoch_of_validation_ends_and_knows_its_length() -> None:
    order = FixedOrder(lambda epoch: np.arange(5), 5, 2)
    made = EpochSampler(order, Sharding(accumulate=1, rank=0, world_size=1))
    assert len(list(made)) == len(made) == 3
    assert [plan.rows.tolist() for plan in made] == [[0, 1], [2, 3], [4, PADDING]]


def test_micro_batches_beyond_the_limit_are_padding_and_count_nothing() -> None:
    found = list(sampler(accumulate=2, limit=3).epoch(0))
    assert [(plan.window != PADDING).sum() for plan in found] == [BATCH] * 2 + [BATCH // 2] * 2
    assert (found[3].rows == PADDING).all() and (found[2].rows != PADDING).all()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 10),
        ({"limit_train_batches": 4}, 4),
        ({"limit_train_batches": 0.5}, 5),
        ({"limit_train_batches": 99}, 10),
        ({"limit_train_batches": 1.0}, 10),
        ({"overfit_batches": 2}, 2),
        ({"overfit_batches": 0.2}, 2),
        ({"fast_dev_run": True}, 1),
    ],
)
def test_limits(settings: dict[str, float], expected: int) -> None:
    assert limited_batches(10, TrainerConfig(**settings)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "world_size", "nearest"),
    [(10, 2, 2, "8 or 12"), (3, 4, 1, "to 4"), (0, 1, 1, "to 1"), (33, 1, 2, "32 or 34")],
)
def test_indivisible_batch_names_the_nearest_sizes(
    batch_size: int, accumulate: int, world_size: int, nearest: str
) -> None:
    with pytest.raises(UserError, match=f"data.batch_size: got {batch_size}") as caught:
        Sharding(accumulate=accumulate, rank=0, world_size=world_size).check(batch_size)
    assert nearest in str(caught.value)
    assert f"a multiple of {accumulate * world_size}" in str(caught.value)
