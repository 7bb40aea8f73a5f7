"""Attention against manual maths, torch.nn.MultiheadAttention and itself."""

import math

import pytest
import torch
from torch import Tensor, nn

from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.cache import LayerCache
from lit_transformer.nn.masks import causal_mask
from lit_transformer.nn.positions import RotaryPositions, rotate

BATCH, TIME, KEYS, WIDTH, HEADS = 3, 7, 5, 24, 4


def by_hand(layer: MultiHeadAttention, x: Tensor, context: Tensor, allowed: Tensor, bias: Tensor | float) -> Tensor:
    """Attention one head at a time, without the fused kernel; allowed and bias (batch, heads, queries, keys)."""
    width, kv_width = layer.query_width, layer.kv_width
    weights = layer.input.weight.split((width, kv_width, kv_width))
    biases = layer.input.bias.split((width, kv_width, kv_width))
    queries, keys, values = (y @ w.T + b for y, w, b in zip((x, context, context), weights, biases, strict=True))
    size, group, heads = layer.head_dim, layer.num_heads // layer.num_kv_heads, []
    for head in range(layer.num_heads):
        mine, shared = slice(head * size, (head + 1) * size), head // group
        theirs = slice(shared * size, (shared + 1) * size)
        scores = queries[..., mine] @ keys[..., theirs].mT / math.sqrt(size)
        scores = scores + (bias[:, head] if isinstance(bias, Tensor) else bias)
        scores = scores.masked_fill(~allowed[:, head], -torch.inf)
        exponentials = (scores - scores.amax(-1, keepdim=True)).exp()
        heads.append(exponentials / exponentials.sum(-1, keepdim=True) @ values[..., theirs])
    return torch.cat(heads, dim=-1) @ layer.output.weight.T + layer.output.bias


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_attention_equals_the_maths_by_hand(num_kv_heads: int, cross: bool, masked: bool, biased: bool) -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS, num_kv_heads=num_kv_heads).double()
    x = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    context = torch.randn(BATCH, KEYS, WIDTH, dtype=torch.float64) if cross else None
    shape = (BATCH, HEADS, TIME, KEYS if cross else TIME)
    mask = torch.rand(shape) < 0.6 if masked else torch.ones(shape, dtype=torch.bool)
    mask[..., 0] = True
    bias = torch.randn(shape, dtype=torch.float64) if biased else None
    ours = layer(x, context, mask=mask if masked else None, position_bias=bias)
    theirs = by_hand(layer, x, x if context is None else context, mask, 0.0 if bias is None else bias)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("extra", ["none", "mask", "bias", "mask and bias"])
def test_causal_attention_equals_the_causal_mask_by_hand(extra: str) -> None:
    torch.manual_seed(1)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS).double()
    x = torch.randn(BATCH, TIME, WIDTH, dtype=torch.float64)
    shape = (BATCH, HEADS, TIME, TIME)
    padding = torch.ones(BATCH, 1, 1, TIME, dtype=torch.bool)
    padding[1, ..., 5:] = False
    bias = torch.randn(shape, dtype=torch.float64)
    ours = layer(
        x,
        causal=True,
        mask=padding if "mask" in extra else None,
        position_bias=bias if "bias" in extra else None,
    )
    allowed = causal_mask(TIME, TIME) & (padding if "mask" in extra else torch.tensor(True))
    theirs = by_hand(layer, x, x, allowed.expand(shape), bias if "bias" in extra else 0.0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def copy_from_torch(layer: MultiHeadAttention, peer: nn.MultiheadAttention) -> None:
    layer.input.load_state_dict({"weight": peer.in_proj_weight, "bias": peer.in_proj_bias})
    layer.output.load_state_dict(peer.out_proj.state_dict())


@pytest.mark.parametrize("cross", [False, True])
def test_equals_torch_multihead_attention_with_gradients(cross: bool) -> None:
    torch.manual_seed(2)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS)
    peer = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    nn.init.normal_(peer.in_proj_bias)
    copy_from_torch(layer, peer)
    x = torch.randn(BATCH, TIME, WIDTH)
    context = torch.randn(BATCH, KEYS, WIDTH) if cross else x
    padding = torch.arange(context.shape[1]) >= torch.tensor([3, 5, 4])[:, None]  # True = padding, as torch has it
    ours = layer(x, context if cross else None, mask=~padding[:, None, None])
    theirs, _ = peer(x, context, context, key_padding_mask=padding, need_weights=False)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    weight = torch.randn_like(ours)
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    assert peer.in_proj_weight.grad is not None
    torch.testing.assert_close(layer.input.weight.grad, peer.in_proj_weight.grad, rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.output.weight.grad, peer.out_proj.weight.grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("num_kv_heads", [1, 2])
@pytest.mark.parametrize("dropout", [0.0, 1e-9])
def test_grouped_queries_equal_full_attention_with_repeated_heads(num_kv_heads: int, dropout: float) -> None:
    torch.manual_seed(3)
    grouped = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS, num_kv_heads=num_kv_heads, dropout=dropout)
    full = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS)
    size, repeats = grouped.head_dim, HEADS // num_kv_heads

    def repeat(parameter: Tensor) -> Tensor:
        queries, keys, values = parameter.split((grouped.query_width, grouped.kv_width, grouped.kv_width))
        heads = [p.unflatten(0, (-1, size)).repeat_interleave(repeats, 0).flatten(0, 1) for p in (keys, values)]
        return torch.cat((queries, *heads))

    full.input.load_state_dict({name: repeat(value) for name, value in grouped.input.named_parameters()})
    full.output.load_state_dict(grouped.output.state_dict())
    x = torch.randn(BATCH, TIME, WIDTH)
    torch.testing.assert_close(grouped(x, causal=True), full(x, causal=True), rtol=0, atol=1e-6)


def test_rotary_scores_depend_on_relative_positions_only() -> None:
    torch.manual_seed(4)
    rotary = RotaryPositions(head_dim=16)
    queries, keys = torch.randn(2, 3, TIME, 16, dtype=torch.float64), torch.randn(2, 3, TIME, 16, dtype=torch.float64)
    positions = torch.arange(TIME)[None]
    near, far = rotary(positions), rotary(positions + 40)
    scores = rotate(queries, near) @ rotate(keys, near).mT
    torch.testing.assert_close(scores, rotate(queries, far) @ rotate(keys, far).mT, rtol=0, atol=1e-4)
    assert not torch.allclose(scores, rotate(queries, far) @ rotate(keys, near).mT, atol=1e-2)


@pytest.mark.parametrize("num_kv_heads", [4, 1])
@pytest.mark.parametrize("steps", [[1] * 7, [3, 1, 3], [7]])
def test_cached_attention_equals_attention_at_once(num_kv_heads: int, steps: list[int]) -> None:
    torch.manual_seed(5)
    layer, cache = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS, num_kv_heads=num_kv_heads), LayerCache(TIME)
    x = torch.randn(BATCH, TIME, WIDTH)
    parts = [layer(part, causal=True, cache=cache) for part in x.split(steps, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), layer(x, causal=True), rtol=0, atol=1e-6)


def test_cross_attention_projects_its_context_once() -> None:
    torch.manual_seed(6)
    layer, cache = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS), LayerCache(KEYS)
    x, context = torch.randn(BATCH, 1, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    plain = layer(x, context)
    torch.testing.assert_close(layer(x, context, cache=cache), plain)
    torch.testing.assert_close(layer(x, torch.zeros_like(context), cache=cache), plain)  # taken from the cache


def test_head_width_and_scale_are_free() -> None:
    torch.manual_seed(7)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=5, head_dim=8, scale=1.0)
    assert layer.output.in_features == 40
    x = torch.randn(BATCH, TIME, WIDTH)
    one = layer(x)
    layer.scale = None
    assert not torch.allclose(one, layer(x))
    with torch.no_grad():
        layer.input.weight[:40] *= math.sqrt(8)
        layer.input.bias[:40] *= math.sqrt(8)
    torch.testing.assert_close(layer(x), one, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"), [({"num_heads": 5}, "num_heads 5"), ({"num_kv_heads": 3}, "num_kv_heads 3")]
)
def test_heads_that_do_not_divide_are_refused(options: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        MultiHeadAttention(**({"d_model": WIDTH, "num_heads": HEADS} | options))
