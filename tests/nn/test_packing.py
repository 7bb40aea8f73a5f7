"""Leaving padding out moves rows and changes no number that counts; whole networks: test_fast_paths.py too."""

import math

import pytest
import torch
from torch import Tensor

from lit_transformer.config.models import EncoderDecoderConfig, T5Config
from lit_transformer.models import build_model
from lit_transformer.nn import packing
from lit_transformer.nn.losses import IGNORED
from lit_transformer.nn.packing import Packing, packed, packing_of, padded, unpacked, until_last_target

KEPT = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])
SIZES = {"d_model": 16, "num_heads": 2, "num_layers": 2, "vocab_size": 31, "context_length": 12, "dropout": 0.0}
NETWORKS = {
    "t5": T5Config(**SIZES),
    "encoder_decoder": EncoderDecoderConfig(**SIZES),
    "rotary": EncoderDecoderConfig(**SIZES, positions="rotary", norm_position="pre", share_embeddings=False),
}


def test_tokens_lie_in_the_order_of_the_rows_and_come_back() -> None:
    x = torch.arange(18.0).view(3, 3, 2)
    found = Packing(KEPT).pack(x)
    assert found.tolist() == [[[0, 1], [4, 5], [12, 13], [14, 15], [16, 17]]]
    back = Packing(KEPT).unpack(found)
    assert torch.equal(back[KEPT], x[KEPT]) and back[~KEPT].tolist() == [[0, 1]] * 4


def test_gradients_are_those_of_indexing() -> None:
    x = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(1, 5, 2, dtype=torch.float64)
    (mine,) = torch.autograd.grad((Packing(KEPT).pack(x) * weights).sum(), x)
    (its,) = torch.autograd.grad((x[KEPT] * weights[0]).sum(), x)
    assert torch.equal(mine, its)
    rows, factors = torch.randn(1, 5, 2, dtype=torch.float64, requires_grad=True), torch.randn(3, 3, 2).double()
    (mine,) = torch.autograd.grad((Packing(KEPT).unpack(rows) * factors).sum(), rows)
    assert torch.equal(mine[0], factors[KEPT])


def test_nothing_is_packed_where_it_does_not_pay_or_must_not_be() -> None:
    half = torch.arange(8) < torch.tensor([[4], [4]])
    assert packing_of(half, 2 * packing.WORTH) is not None
    assert packing_of(half, 2 * packing.WORTH - 2) is None, "too narrow a network"
    assert packing_of(torch.ones(2, 8, dtype=torch.bool), 10**6) is None, "no padding"
    assert packing_of(torch.zeros(2, 8, dtype=torch.bool), 10**6) is None, "no token"
    assert packing_of(None, 10**6) is None
    assert packing_of(half.to("meta"), 10**6) is None, "another device"
    with padded():
        assert packing_of(half, 10**6) is None
    assert packing_of(half, 10**6) is not None
    x = torch.randn(2, 8, 3)
    assert packed(x, None) is x is unpacked(x, None)


def test_a_target_that_is_ignored_amid_a_row_is_no_padding() -> None:
    targets = torch.tensor([[5, IGNORED, 7, IGNORED], [IGNORED] * 4, [1, 2, 3, 4]])
    assert until_last_target(targets).sum(1).tolist() == [3, 0, 4]


def losses(network: torch.nn.Module, worth: float, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Loss and gradients of rows of every length on both sides, one of them empty, another with a gap of targets."""
    monkeypatch.setattr(packing, "WORTH", worth)
    generator = torch.Generator().manual_seed(2)
    ids, answers = (torch.randint(30, (4, 12), generator=generator) for _ in range(2))
    sources, ends = torch.tensor([[12], [3], [0], [7]]), torch.tensor([[5], [12], [0], [9]])
    kept = torch.arange(12) < sources
    targets = answers.where(torch.arange(12) < ends, IGNORED)
    targets[1, 4:6] = IGNORED
    loss, count = network.loss(inputs=ids, decoder_inputs=answers.flip(1), targets=targets, input_mask=kept)
    assert count == 24
    return [loss, *torch.autograd.grad(loss, list(network.parameters()))]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_learns_the_same_without_padding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-11 in float64; what only padding has is no token's business."""
    torch.manual_seed(0)
    network = build_model(NETWORKS[name]).double().train()
    calls: list[Tensor] = []
    monkeypatch.setattr(Packing, "pack", lambda self, x, pack=Packing.pack: calls.append(x) or pack(self, x))
    found = losses(network, 0.0, monkeypatch)
    assert calls, "nothing was packed"
    calls.clear()
    plain = losses(network, math.inf, monkeypatch)
    assert not calls
    for mine, its in zip(found, plain, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-11)
