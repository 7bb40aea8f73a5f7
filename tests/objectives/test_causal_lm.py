"""Causal language modelling and its inverse."""

import pytest
import torch

from lit_transformer.objectives.causal_lm import causal_lm, invert_causal_lm


def test_each_token_predicts_the_next() -> None:
    batch = causal_lm(torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]))
    assert batch.inputs.tolist() == [[3, 1, 4, 1], [9, 2, 6, 5]]
    assert batch.targets.tolist() == [[1, 4, 1, 5], [2, 6, 5, 3]]


@pytest.mark.parametrize("time", [1, 2, 33])
def test_inverse_gives_the_ids_back(time: int) -> None:
    ids = torch.randint(1000, (4, time + 1), generator=torch.Generator().manual_seed(0))
    assert torch.equal(invert_causal_lm(causal_lm(ids)), ids)
