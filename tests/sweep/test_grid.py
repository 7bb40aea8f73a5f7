"""The grid: W&B's order, W&B's ranges."""

import itertools
import random

import numpy as np
import pytest

from lit_transformer.sweep.grid import grid, int_uniform, q_uniform


def test_order_by_hand() -> None:
    cells = list(grid({"model.num_layers": [4, 1], "a": ["x", "y"], "model.num_heads": [2]}))
    assert cells == [
        {"a": "x", "model.num_heads": 2, "model.num_layers": 4},
        {"a": "x", "model.num_heads": 2, "model.num_layers": 1},
        {"a": "y", "model.num_heads": 2, "model.num_layers": 4},
        {"a": "y", "model.num_heads": 2, "model.num_layers": 1},
    ]


def test_cell_i_is_a_mixed_radix_number_with_the_last_sorted_name_as_its_lowest_digit() -> None:
    generator = random.Random(0)
    for _ in range(50):
        names = generator.sample("abcdefgh", generator.randint(1, 4))
        axes = {name: list(range(generator.randint(1, 4))) for name in names}
        for index, cell in enumerate(grid(axes)):
            rest = index
            for name in sorted(axes, reverse=True):
                rest, digit = divmod(rest, len(axes[name]))
                assert cell[name] == axes[name][digit]
            assert rest == 0
        assert index + 1 == len(list(itertools.product(*axes.values())))


def test_no_axis_is_one_cell() -> None:
    assert list(grid({})) == [{}]


def test_int_uniform_has_both_ends() -> None:
    assert int_uniform(2, 5) == [2, 3, 4, 5]
    assert int_uniform(3, 3) == [3]


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(0, 1, 0.1), (0, 1, 0.25), (16, 64, 16), (0, 0.3, 0.1), (1, 2, 0.3), (-1, 1, 0.5), (0, 10, 3)],
)
def test_q_uniform_is_numpys_arange(low: float, high: float, step: float) -> None:
    ours = q_uniform(low, high, step)
    theirs = np.arange(low, high, step).tolist()
    assert len(ours) == len(theirs)
    assert ours == pytest.approx(theirs, abs=1e-15)
    assert high not in ours
