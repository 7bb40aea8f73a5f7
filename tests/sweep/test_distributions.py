"""The distributions: W&B's own answers, recorded, and what they should be by hand."""

import math

import pytest

from lit_transformer.sweep.distributions import DISTRIBUTIONS, Categorical, IntUniform
from tests.sweep.oracle.answers import answers


def test_every_recorded_answer_of_wandb() -> None:
    different = []
    for case in answers("ppf"):
        keys = {key: value for key, value in case["parameter"].items() if key != "distribution"}
        made = DISTRIBUTIONS[case["type"]](**keys)
        for u, theirs in zip(case["u"], case["values"], strict=True):
            ours = made.ppf(u)
            if not _same(ours, theirs):
                different.append((case, u, ours, theirs))
    assert not different, (len(different), different[:5])


def _same(ours: object, theirs: object) -> bool:
    """The same value and type; of floats the last bit or two may come from another machine's exp."""
    if isinstance(theirs, float) and isinstance(ours, float):
        return math.isclose(ours, theirs, rel_tol=4e-16)
    return type(ours) is type(theirs) and ours == theirs
