"""Causal language modelling and its inverse."""

import numpy as np
import pytest

from lit_transformer.objectives.causal_lm import causal_lm, invert_causal_lm


def test_each_token_predicts_the_next() -> None:
    batch = causal_lm(np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]))
    assert batch.inputs.tolist() == [[3, 1, 4, 1], [9, 2, 6, 5]]
    assert batch.targets.tolist() == [[1, 4, 1, 5], [2, 6, 5, 3]]


@pytest.mark.parametrize("time", [1, 2, 33])
def test_inverse_gives_the_ids_back(time: int) -> None:
    ids = np.random.default_rng(0).integers(1000, size=(4, time + 1))
    assert np.array_equal(invert_causal_lm(causal_lm(ids)), ids)
    assert np.array_equal(invert_causal_lm(causal_lm(ids[0])), ids[0])
