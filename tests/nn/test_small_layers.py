"""Masks, positions, feed-forward, norms, caches and initial weights."""

import math

import pytest
import torch
from torch import nn

from lit_transformer.nn.blocks import EncoderBlock
from lit_transformer.nn.cache import KVCache, LayerCache, new_positions
from lit_transformer.nn.feed_forward import GATED, PLAIN, FeedForward
from lit_transformer.nn.initialisation import initialise
from lit_transformer.nn.masks import causal_mask, combine, padding_mask
from lit_transformer.nn.norms import build_norm
from lit_transformer.nn.positions import RotaryPositions, SinusoidalPositions, rotate


def test_causal_mask_ends_at_the_last_key() -> None:
    assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]


def test_masks_combine() -> None:
    ids = torch.tensor([[5, 6, 0], [7, 0, 0]])
    both = combine(padding_mask(ids, 0), None, causal_mask(3, 3))
    assert both is not None and both.shape == (2, 1, 3, 3)
    assert both[1, 0].tolist() == [[True, False, False]] * 3
    assert both[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]
    assert combine(None) is None


def test_sinusoidal_formula() -> None:
    table = SinusoidalPositions(d_model=8)(torch.arange(50)[None])
    assert table.shape == (1, 50, 8)
    for position in (0, 1, 7, 49):
        for i in range(4):
            angle = position / 10_000 ** (2 * i / 8)
            assert table[0, position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[0, position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_positions_are_ids() -> None:
    layer, ids = SinusoidalPositions(d_model=8), torch.tensor([[4, 0], [1, 1]])
    table = layer(torch.arange(5)[None])[0]
    assert torch.equal(layer(ids), table[ids])


def test_rotation_by_hand_and_length() -> None:
    x = torch.tensor([[[[1.0, 0.0]]]])
    turned = rotate(x, RotaryPositions(head_dim=2)(torch.tensor([[3]])))
    torch.testing.assert_close(turned.flatten(), torch.tensor([math.cos(3), math.sin(3)]))
    y = torch.randn(2, 3, 5, 8)
    turned = rotate(y, RotaryPositions(head_dim=8)(torch.randint(100, (2, 5))))
    torch.testing.assert_close(turned.norm(dim=-1), y.norm(dim=-1))


def test_rotary_positions_stay_exact_in_half_precision_networks() -> None:
    layer, ids = RotaryPositions(head_dim=8), torch.arange(500)[None]
    assert torch.equal(layer(ids)[0], layer.to(torch.bfloat16)(ids)[0])


@pytest.mark.parametrize("layer", [SinusoidalPositions, RotaryPositions])
def test_odd_widths_are_refused(layer: type) -> None:
    with pytest.raises(ValueError, match="7"):
        layer(**{"d_model" if layer is SinusoidalPositions else "head_dim": 7})


@pytest.mark.parametrize("activation", [*PLAIN, *GATED])
def test_feed_forward_is_its_formula(activation: str) -> None:
    torch.manual_seed(0)
    formulas = {
        "relu": lambda x: x.clamp(min=0),
        "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
        "gelu_tanh": lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "tanh": lambda x: 1 - 2 / (torch.exp(2 * x) + 1),
        "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
        "silu": lambda x: x / (1 + torch.exp(-x)),
    }
    layer = FeedForward(d_model=6, d_ff=10, activation=activation).double()  # type: ignore[arg-type]
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    hidden = x @ layer.input.weight.T + layer.input.bias
    if activation in PLAIN:
        hidden = formulas[activation](hidden)
    else:
        plain = {"reglu": "relu", "geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu"}[activation]
        hidden = formulas[plain](hidden[..., :10]) * hidden[..., 10:]
    torch.testing.assert_close(layer(x), hidden @ layer.output.weight.T + layer.output.bias)


def test_names_are_closed() -> None:
    with pytest.raises(ValueError, match=r"gelux.*gelu_tanh"):
        FeedForward(d_model=6, d_ff=10, activation="gelux")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"batch_norm.*rms_norm"):
        build_norm("batch_norm", 6)  # type: ignore[arg-type]


def test_norms_are_their_formulas() -> None:
    x = torch.randn(4, 6, dtype=torch.float64)
    centred = x - x.mean(-1, keepdim=True)
    layer_norm, rms_norm = build_norm("layer_norm", 6).double(), build_norm("rms_norm", 6).double()
    torch.testing.assert_close(layer_norm(x), centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt())
    torch.testing.assert_close(rms_norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt())
    assert len(list(build_norm("layer_norm", 6, bias=False).parameters())) == 1


def test_cache_reorders_resets_and_refuses_too_much() -> None:
    cache = KVCache(num_layers=2, max_length=3)
    keys = torch.arange(2.0).view(2, 1, 1, 1)
    for layer in cache.layers:
        layer.append(keys, keys + 10)
    cache.reorder(torch.tensor([1, 1]))
    assert all(layer.contents()[1].flatten().tolist() == [11.0, 11.0] for layer in cache.layers)
    assert new_positions(2, cache, torch.device("cpu")).tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="holds 3 tokens, and 4"):
        cache.layers[0].append(keys.expand(2, 1, 3, 1), keys.expand(2, 1, 3, 1))
    cache.reset()
    assert cache.length == 0
    with pytest.raises(ValueError, match="empty"):
        LayerCache(3).contents()


def test_initial_weights() -> None:
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {
            "embedding": nn.Embedding(1000, 128),
            "block": EncoderBlock(d_model=128, num_heads=4, activation="swiglu"),
            "head": nn.Linear(128, 500),
        }
    )
    initialise(network, std=0.05, num_layers=8)
    block = network["block"]
    assert isinstance(block, EncoderBlock)
    for weight in (
        network["embedding"].weight,
        network["head"].weight,
        block.attention.input.weight,
        block.feed_forward.input.weight,
    ):
        assert weight.std().item() == pytest.approx(0.05, rel=0.02)
        assert weight.mean().item() == pytest.approx(0, abs=0.001)
    for layer in (block.attention.output, block.feed_forward.output):
        assert layer.weight.std().item() == pytest.approx(0.05 / 4, rel=0.03)
    vectors = {name: parameter for name, parameter in network.named_parameters() if parameter.ndim == 1}
    assert all(bool((value == ("norm.weight" in name)).all()) for name, value in vectors.items())
