"""Rows in buckets: every row once, little padding, and the same plan wherever it is made."""

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.data.buckets import BucketOrder, Buckets, bucket_lengths
from lit_transformer.data.sampler import PADDING, EpochSampler, PlanSampler, Sharding

MULTI30K = [
    0, 0, 0, 0, 0, 2, 8, 66, 391, 891, 1388, 1979, 2433, 2656, 2637, 2552, 2315, 2024, 1766, 1496, 1315, 1027, 848, 656,
    570, 404, 348, 282, 211, 168, 124, 102, 80, 53, 38, 31, 25, 27, 19, 13, 13, 8, 6, 8, 6, 2, 3, 4, 0, 2, 0, 1, 1, 1,
]  # fmt: skip
"""Pairs of Multi30k's training split by tokens of their longer side (joint BPE of 10,000, end included)."""


def multi30k() -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(MULTI30K)), MULTI30K))


def some_lengths(seed: int) -> NDArray[np.int64]:
    """Lengths from 1 on, of a shape that differs by seed."""
    generator = np.random.default_rng(seed)
    rows = int(generator.integers(1, 900))
    shapes = (
        generator.integers(1, 200, rows),
        1 + generator.poisson(12, rows),
        np.minimum(1 + generator.lognormal(3, 1, rows).astype(np.int64), 500),
        np.full(rows, 17),
        generator.choice([3, 400], rows),
    )
    return shapes[seed % len(shapes)]


def some_order(seed: int, *, shuffle: bool = True) -> tuple[BucketOrder, int, int | None]:
    """An order with random sizes, its parts and its max_tokens."""
    generator = np.random.default_rng([seed, 1])
    lengths, parts = some_lengths(seed), int(generator.choice([1, 2, 3, 4, 6]))
    needed = parts * int(lengths.max())
    max_tokens = int(needed * generator.uniform(1, 20)) if generator.integers(3) else None
    size = parts * int(generator.integers(1, 9))
    order = BucketOrder(lengths, seed=seed, batch_size=size, max_tokens=max_tokens, parts=parts, shuffle=shuffle)
    return order, parts, max_tokens


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_every_row_once_in_as_many_steps_in_every_epoch(seed: int, shuffle: bool) -> None:
    lengths, (order, parts, max_tokens) = some_lengths(seed), some_order(seed, shuffle=shuffle)
    buckets = Buckets(lengths)
    for epoch in range(4):
        steps = order.steps(epoch)
        assert len(steps) == order.num_steps
        assert all(len(step) % parts == 0 and (step != PADDING).any() for step in steps)
        rows = np.concatenate(steps)
        assert np.array_equal(np.sort(rows[rows != PADDING]), np.arange(len(lengths)))
        real = [int((step != PADDING).sum()) for step in steps]
        assert all(len(step) - count < parts for step, count in zip(steps, real, strict=True))
        for step, count in zip(steps, real, strict=True):
            shares = (step.reshape(parts, -1) != PADDING).sum(axis=1)
            assert shares.max() - shares.min() <= 1
            assert max_tokens is None or count * buckets.time(step) <= max_tokens


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_the_number_of_parts_changes_the_rows_of_no_step(seed: int, shuffle: bool) -> None:
    lengths = some_lengths(seed)
    sizes = {"batch_size": 24, "max_tokens": int(lengths.max()) * 29 if seed % 2 else None}
    plans = [
        [
            sorted(step[step != PADDING].tolist())
            for step in BucketOrder(lengths, seed=seed, shuffle=shuffle, parts=parts, **sizes).steps(1)
        ]
        for parts in (1, 2, 3, 4, 6)
    ]
    assert all(plan == plans[0] for plan in plans)


@pytest.mark.parametrize("parts", [1, 4])
def test_steps_are_as_large_as_they_may_be_but_for_a_few_of_left_over_rows(parts: int) -> None:
    lengths, buckets = multi30k(), Buckets(multi30k())
    by_tokens = BucketOrder(lengths, seed=0, batch_size=1, max_tokens=4096, parts=parts).steps(0)
    wrong = [step for step in by_tokens if (step != PADDING).sum() != 4096 // buckets.time(step)]
    assert len(by_tokens) > 100 and len(wrong) <= 3
    by_rows = BucketOrder(lengths, seed=0, batch_size=32, parts=parts).steps(0)
    assert len(by_rows) == -(-len(lengths) // 32) and sum(len(step) != 32 for step in by_rows) <= 1


def test_order_follows_from_seed_and_epoch_alone() -> None:
    lengths = multi30k()[:2000]
    plans = {
        (seed, epoch): [step.tolist() for step in BucketOrder(lengths, seed=seed, batch_size=16).steps(epoch)]
        for seed in (0, 1, 2**63) for epoch in range(3)
    }  # fmt: skip
    assert len({str(plan) for plan in plans.values()}) == 9
    np.random.seed(1)
    again = BucketOrder(lengths, seed=1, batch_size=16)
    again.steps(7)  # what was asked for before does not count
    assert [step.tolist() for step in again.steps(2)] == plans[1, 2]
    # both the rows of a bucket and the steps are shuffled
    times = [[Buckets(lengths).time(np.array(step)) for step in plan] for plan in plans.values()]
    assert len({tuple(found) for found in times}) == 9 and len({tuple(sorted(found)) for found in times}) == 1
    assert times[0] != sorted(times[0])
    assert len({frozenset(step) for plan in plans.values() for step in plan}) > 8 * len(plans[0, 0])


def test_unshuffled_rows_stand_by_length_in_steps_of_one_fixed_order() -> None:
    lengths = multi30k()[:500]
    steps = BucketOrder(lengths, seed=3, batch_size=8, shuffle=False).steps(0)
    for other in (BucketOrder(lengths, seed=4, batch_size=8, shuffle=False).steps(0), steps):
        assert all(np.array_equal(*pair) for pair in zip(steps, other, strict=True))
    by_length = sorted(steps, key=lambda step: (lengths[step[0]], step[0]))
    assert np.concatenate(by_length).tolist() == sorted(range(500), key=lambda row: (lengths[row], row))


def test_the_first_unshuffled_steps_are_no_shorter_than_the_others() -> None:
    """What limit_val_batches, fast_dev_run and overfit_batches take: by length it would be the shortest rows."""
    lengths = multi30k()[:8000]
    steps = BucketOrder(lengths, seed=0, batch_size=32, shuffle=False).steps(0)
    assert lengths.mean() == pytest.approx(lengths[np.concatenate(steps[:40])].mean(), rel=0.1)
    assert len({Buckets(lengths).time(step) for step in steps[:10]}) > 4


@pytest.mark.parametrize(("accumulate", "world_size"), [(1, 4), (2, 2), (4, 1)])
def test_ranks_and_micro_batches_share_one_plan(accumulate: int, world_size: int) -> None:
    def order() -> BucketOrder:
        return BucketOrder(multi30k()[:700], seed=5, batch_size=8, max_tokens=300, parts=4)

    ranks = [
        PlanSampler(order(), Sharding(accumulate=accumulate, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    plans = [list(islice(rank, 2 * rank.micro_batches)) for rank in ranks]
    both = [*order().steps(0), *order().steps(1)]
    for at, step in enumerate(both):
        window = [rank[at * accumulate + micro] for micro in range(accumulate) for rank in plans]
        assert np.array_equal(np.concatenate([plan.rows for plan in window]), step)
        assert all(np.array_equal(plan.window, step) for plan in window)
        assert len({plan.rows.shape for plan in window}) == 1


def test_validation_takes_every_row_once_on_any_number_of_ranks() -> None:
    lengths = multi30k()[:101]
    for world_size in (1, 2, 4):
        order = BucketOrder(lengths, seed=0, batch_size=8, parts=world_size, shuffle=False)
        shardings = [Sharding(accumulate=1, rank=rank, world_size=world_size) for rank in range(world_size)]
        rows = np.concatenate([plan.rows for sharding in shardings for plan in EpochSampler(order, sharding)])
        assert np.array_equal(np.sort(rows[rows != PADDING]), np.arange(101))


@pytest.mark.parametrize("sizes", [{"batch_size": 32}, {"batch_size": 128}, {"batch_size": 1, "max_tokens": 4096}])
def test_less_than_a_tenth_of_multi30k_s_longer_side_is_padding(sizes: dict[str, int]) -> None:
    lengths, buckets = multi30k(), Buckets(multi30k())
    steps = BucketOrder(lengths, seed=0, **sizes).steps(0)
    padded = sum(len(step) * buckets.time(step) for step in steps)
    assert 0.05 < 1 - lengths.sum() / padded < 0.08  # 0.69 if all were padded to the longest
    assert len({buckets.time(step) for step in steps}) <= 16  # shapes to compile


def test_lengths_of_buckets_grow_slowly_and_end_at_the_longest_row() -> None:
    ladder = bucket_lengths(2048)
    assert (np.diff(ladder) >= 2).all() and (np.diff(ladder)[3:] <= ladder[3:-1] / 4).all()
    assert (np.diff(ladder)[ladder[:-1] >= 64] <= ladder[:-1][ladder[:-1] >= 64] / 8).all()
    assert len(ladder) < 60 and (ladder[ladder >= 40] % 8 == 0).all()
    for longest in (1, 2, 17, 30, 64, 65, 1023):
        assert bucket_lengths(longest)[-1] == longest  # the network may take no more


def test_the_time_of_rows_is_that_of_their_longest() -> None:
    buckets = Buckets(np.array([3, 9, 17, 30, 51]))
    assert [buckets.time(np.array(rows)) for rows in ([0], [0, 1], [2, PADDING], [3], [4], [PADDING])] == [
        4, 10, 20, 32, 51, 2,
    ]  # fmt: skip


def test_too_few_tokens_for_a_row_of_each_part_are_refused() -> None:
    lengths = np.array([5, 60, 7])
    assert BucketOrder(lengths, seed=0, batch_size=1, max_tokens=240, parts=4).num_steps == 1
    with pytest.raises(UserError, match=r"data\.max_tokens: got 239") as caught:
        BucketOrder(lengths, seed=0, batch_size=1, max_tokens=239, parts=4)
    assert "240 or more" in str(caught.value) and "60 tokens x 4" in str(caught.value)
    assert "set data.max_tokens=240" in str(caught.value)
    with pytest.raises(UserError, match=r"60 tokens x 2 choices x 4"):
        BucketOrder(lengths, seed=0, batch_size=1, max_tokens=240, parts=4, sequences=2)


def test_evaluation_exceeds_max_tokens_rather_than_fail() -> None:
    steps = BucketOrder(
        np.array([60, 5, 70]), seed=0, batch_size=1, max_tokens=1, parts=2, shuffle=False, strict=False
    ).steps(0)  # fmt: skip
    assert sorted(step.tolist() for step in steps) == [[0, PADDING], [1, PADDING], [2, PADDING]]


def test_choices_count_towards_max_tokens() -> None:
    lengths = np.full(100, 16)
    assert len(BucketOrder(lengths, seed=0, batch_size=1, max_tokens=320).steps(0)[0]) == 20
    assert len(BucketOrder(lengths, seed=0, batch_size=1, max_tokens=320, sequences=4).steps(0)[0]) == 5
