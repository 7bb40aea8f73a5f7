"""The distributions: W&B's own answers, recorded, and what they should be at the ends and by hand."""

import math

import pytest

from lit_transformer.sweep.distributions import DISTRIBUTIONS
from tests.sweep.oracle.answers import answers


def test_every_recorded_answer_of_wandb() -> None:
    different, count = [], 0
    for case in answers("ppf"):
        keys = {key: value for key, value in case["parameter"].items() if key != "distribution"}
        made = DISTRIBUTIONS[case["type"]](**keys)
        for u, theirs in zip(case["u"], case["values"], strict=True):
            count += 1
            ours = made.ppf(u)
            if not same(ours, theirs):
                different.append((case, u, ours, theirs))
    assert not different, (len(different), different[:5])
    assert count > 15_000
    assert {case["type"] for case in answers("ppf")} == DISTRIBUTIONS.keys()


def same(ours: object, theirs: object) -> bool:
    """The same value and type; a float's last bits are those of numpy's exp there and of the C library's here."""
    if isinstance(theirs, float) and isinstance(ours, float):
        return math.isclose(ours, theirs, rel_tol=1e-15)
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("u", [0.0, 1e-300, 0.5, 1 - 2**-53, 1.0])
def test_the_ends_stay_inside(u: float) -> None:
    for count in (1, 2, 3, 7, 10):
        integers = DISTRIBUTIONS["int_uniform"](min=3, max=2 + count)
        assert integers.ppf(u) in range(3, 3 + count)
        assert DISTRIBUTIONS["categorical"](values=list("abcdefghij"[:count])).ppf(u) in "abcdefghij"[:count]
    assert DISTRIBUTIONS["int_uniform"](min=3, max=5).ppf(0.0) == 3
    assert DISTRIBUTIONS["int_uniform"](min=3, max=5).ppf(1.0) == 5
    for name in ("uniform", "log_uniform_values", "inv_log_uniform_values"):
        assert 0.5 * (1 - 1e-15) <= DISTRIBUTIONS[name](min=0.5, max=2.0).ppf(u) <= 2.0 * (1 + 1e-15)  # type: ignore[operator]


def test_every_integer_is_as_likely() -> None:
    made, count = DISTRIBUTIONS["int_uniform"](min=-3, max=3), 7 * 100
    drawn = [made.ppf((index + 0.5) / count) for index in range(count)]
    assert [drawn.count(value) for value in range(-3, 4)] == [100] * 7
    assert drawn == sorted(drawn)  # type: ignore[type-var]


def test_probabilities_are_kept() -> None:
    made = DISTRIBUTIONS["categorical_w_probabilities"](values=["a", "b", "c"], probabilities=[0.1, 0.0, 0.9])
    drawn = [made.ppf((index + 0.5) / 1000) for index in range(1000)]
    assert [drawn.count(value) for value in "abc"] == [100, 0, 900]
