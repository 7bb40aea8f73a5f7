"""Images of one size make a step: every image once, the same plan wherever it is made."""

import numpy as np
import pytest
from numpy.typing import NDArray

from lit_transformer.data.images.order import SizeOrder
from lit_transformer.data.sampler import PADDING


def some_sizes(seed: int) -> NDArray[np.int64]:
    """Height and width of up to 200 images, of 1 to 5 sizes, some of them swapped."""
    generator = np.random.default_rng(seed)
    kinds = np.array([[8, 12], [12, 8], [8, 8], [16, 12], [8, 13]])[: seed % 5 + 1]
    return kinds[generator.integers(0, len(kinds), int(generator.integers(1, 200)))]


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seed", range(15))
def test_every_image_once_and_one_size_a_step(seed: int, shuffle: bool) -> None:
    sizes, parts = some_sizes(seed), seed % 3 + 1
    order = SizeOrder(sizes, seed=seed, batch_size=6, parts=parts, shuffle=shuffle)
    for epoch in range(3):
        steps = order.steps(epoch)
        assert len(steps) == order.num_steps
        rows = np.concatenate(steps)
        assert np.array_equal(np.sort(rows[rows != PADDING]), np.arange(len(sizes)))
        for step in steps:
            real = step[step != PADDING]
            assert len(step) % parts == 0 and 1 <= len(real) <= 6 and len(step) - len(real) < parts
            assert len(np.unique(sizes[real], axis=0)) == 1
    smaller = [int((step != PADDING).sum()) for step in order.steps(0) if (step != PADDING).sum() < 6]
    assert len(smaller) <= len(np.unique(sizes, axis=0))


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_number_of_parts_changes_the_images_of_no_step(shuffle: bool) -> None:
    plans = [
        [
            step[step != PADDING].tolist()
            for step in SizeOrder(some_sizes(3), seed=1, batch_size=6, parts=parts, shuffle=shuffle).steps(2)
        ]
        for parts in (1, 2, 3, 6)
    ]
    assert all(plan == plans[0] for plan in plans)


def test_order_follows_from_seed_and_epoch() -> None:
    def plan(seed: int, epoch: int, *, shuffle: bool = True) -> list[list[int]]:
        order = SizeOrder(some_sizes(4), seed=seed, batch_size=4, shuffle=shuffle)
        return [step.tolist() for step in order.steps(epoch)]

    assert plan(0, 0) == plan(0, 0)
    assert len({str(plan(*key)) for key in ((0, 0), (0, 1), (1, 0), (1, 1))}) == 4
    assert plan(0, 0, shuffle=False) == plan(5, 7, shuffle=False)


def test_images_of_one_size_keep_their_order_where_nothing_is_shuffled() -> None:
    steps = SizeOrder(np.full((10, 2), 8), seed=0, batch_size=4, shuffle=False).steps(0)
    assert [step.tolist() for step in steps] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_the_first_steps_have_several_sizes_where_nothing_is_shuffled() -> None:
    sizes = np.array([[8, 8], [9, 9], [8, 8], [9, 9], [8, 8], [9, 9], [8, 8]])
    steps = SizeOrder(sizes, seed=0, batch_size=2, shuffle=False).steps(0)
    assert [step.tolist() for step in steps] == [[0, 2], [1, 3], [4, 6], [5]]
