"""Prefix language modelling: no target is seen, every prefix is as likely, and the ids come back."""

import numpy as np
import pytest

from lit_transformer.objectives.ids import IGNORED
from lit_transformer.objectives.prefix_lm import invert_prefix_lm, prefix_lm
from tests.objectives.chance import fits


@pytest.mark.parametrize("length", [2, 3, 4, 17, 100])
def test_only_what_follows_the_prefix_is_predicted(length: int) -> None:
    for seed in range(200):
        ids = np.random.default_rng(seed).integers(1000, size=length)
        inputs, targets, prefix = example = prefix_lm(ids, np.random.default_rng(seed))
        assert 1 <= prefix <= length - 1
        assert inputs.tolist() == ids[:-1].tolist()
        # place i sees j where j < prefix or j <= i, and a target stands at i + 1
        for place in range(length - 1):
            seen = place + 1 < prefix
            assert targets[place] == (IGNORED if seen else ids[place + 1])
        assert (targets != IGNORED).sum() == length - prefix
        assert np.array_equal(invert_prefix_lm(example), ids)


def test_every_prefix_is_as_likely() -> None:
    generator = np.random.default_rng(0)
    found = [prefix_lm(np.arange(9), generator).prefix_length for _ in range(4000)]
    assert fits(np.bincount(found, minlength=9)[1:])
