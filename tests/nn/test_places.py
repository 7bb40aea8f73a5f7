"""A block that works at a few places alone gives what the whole block gives there."""

import pytest
import torch
from torch import Tensor

from lit_transformer.nn.attention_recording import record_attention
from lit_transformer.nn.blocks import EncoderBlock
from lit_transformer.nn.places import take, take_queries
from lit_transformer.nn.positions import RotaryPositions

ROWS, TIME, WIDTH, HEADS = 3, 9, 16, 2
PLACES = torch.tensor([[0, 4], [8, 8], [3, 1]])


def masks() -> dict[str, Tensor | None]:
    torch.manual_seed(0)
    return {
        "none": None,
        "padding": (torch.arange(TIME) < torch.tensor([[9], [5], [7]]))[:, None, None],
        "each": torch.rand(ROWS, 1, TIME, TIME) < 0.7,
    }


def test_take() -> None:
    x = torch.arange(ROWS * TIME * 2).view(ROWS, TIME, 2)
    assert torch.equal(take(x, PLACES), torch.stack([x[row, PLACES[row]] for row in range(ROWS)]))
    mask = masks()["each"]
    assert mask is not None
    assert torch.equal(take_queries(mask, PLACES), torch.stack([mask[row][:, PLACES[row]] for row in range(ROWS)]))


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("mask", ["none", "padding", "each"])
@pytest.mark.parametrize("option", ["plain", "causal", "rotary", "position_bias"])
@pytest.mark.parametrize("training", [True, False])
def test_states_and_gradients_are_those_of_the_whole_block(
    pre_norm: bool, mask: str, option: str, training: bool
) -> None:
    torch.manual_seed(1)
    block = EncoderBlock(d_model=WIDTH, num_heads=HEADS, pre_norm=pre_norm).double().train(training)
    how = {
        "plain": {},
        "causal": {"causal": True},
        "rotary": {"rotary": RotaryPositions(head_dim=WIDTH // HEADS)(torch.arange(TIME)[None])},
        "position_bias": {"position_bias": torch.randn(1, HEADS, TIME, TIME, dtype=torch.float64)},
    }[option]
    x = torch.randn(ROWS, TIME, WIDTH, dtype=torch.float64, requires_grad=True)
    found = block(x, mask=masks()[mask], places=PLACES, **how)
    expected = take(block(x, mask=masks()[mask], **how), PLACES)
    torch.testing.assert_close(found, expected)
    learned = [x, *block.parameters()]
    upstream = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad(found, learned, upstream), torch.autograd.grad(expected, learned, upstream), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_recorder_sees_every_query() -> None:
    block = EncoderBlock(d_model=WIDTH, num_heads=HEADS)
    with record_attention(block) as recorded:
        block(torch.randn(ROWS, TIME, WIDTH), places=PLACES)
    assert recorded["attention"].shape == (ROWS, HEADS, TIME, TIME)
