"""Recorded weights are those that the fused kernels use, and nothing else notices that they are recorded."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lit_transformer.config.models import EncoderDecoderConfig, GPTConfig
from lit_transformer.models import build_model
from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.attention_recording import attention_weights, record, record_attention
from lit_transformer.nn.cache import LayerCache
from lit_transformer.nn.masks import causal_mask, prefix_mask
from lit_transformer.nn.positions import RotaryPositions
from lit_transformer.nn.recompute import recompute_blocks

BATCH, TIME, KEYS, WIDTH, HEADS = 3, 7, 5, 24, 4
SMALL = {"vocab_size": 11, "context_length": 8, "d_model": 16, "num_heads": 2, "num_layers": 2}


def rebuilt(layer: MultiHeadAttention, weights: Tensor, source: Tensor) -> Tensor:
    """The layer's output from weights and the tensor (batch, keys, d_model) that its values come from."""
    values = layer._project(source)[2].repeat_interleave(layer.num_heads // layer.num_kv_heads, dim=1)
    return layer.output((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2))


def padding() -> Tensor:
    mask = torch.ones(BATCH, 1, 1, TIME, dtype=torch.bool)
    mask[1, ..., 4:] = False
    return mask


def position_bias() -> Tensor:
    return torch.randn(1, HEADS, TIME, TIME)


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "causal": lambda: {"causal": True},
    "padded": lambda: {"mask": padding()},
    "causal and padded": lambda: {"mask": padding(), "causal": True},
    "prefix": lambda: {"mask": prefix_mask(torch.tensor([0, 3, 7]), TIME)},
    "rotary": lambda: {"causal": True, "rotary": RotaryPositions(head_dim=6)(torch.arange(TIME)[None])},
    "position bias": lambda: {"position_bias": position_bias()},
    "causal position bias": lambda: {"position_bias": position_bias(), "causal": True},
    "padded position bias": lambda: {"position_bias": position_bias(), "mask": padding(), "causal": True},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
@pytest.mark.parametrize("training", [False, True])
def test_weights_times_values_are_the_layers_output(case: str, num_kv_heads: int, training: bool) -> None:
    torch.manual_seed(0)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS, num_kv_heads=num_kv_heads).train(training)
    x, options = torch.randn(BATCH, TIME, WIDTH), CASES[case]()
    with record_attention(layer) as recorded:
        output = layer(x, **options)
    weights = recorded[""]
    torch.testing.assert_close(rebuilt(layer, weights, x), output, rtol=0, atol=1e-6)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, HEADS, TIME), rtol=0, atol=1e-6)
    allowed = options.get("mask", torch.tensor(True))
    allowed = allowed & causal_mask(TIME, TIME) if options.get("causal") else allowed
    allowed = allowed.expand(weights.shape)
    assert (weights[~allowed] == 0).all() and (weights[allowed] > 0).all()


@pytest.mark.parametrize("num_kv_heads", [4, 2])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_cross_attention(num_kv_heads: int, padded: bool, cached: bool) -> None:
    torch.manual_seed(1)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS, num_kv_heads=num_kv_heads)
    x, context = torch.randn(BATCH, TIME, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    mask = torch.arange(KEYS) < torch.tensor([5, 2, 4])[:, None, None, None] if padded else None
    cache = LayerCache(None) if cached else None
    parts = x.split(1, dim=1) if cached else [x]  # the context is projected by the first call alone
    for part in parts:
        with record_attention(layer) as recorded:
            output = layer(part, context, mask=mask, cache=cache)
        torch.testing.assert_close(rebuilt(layer, recorded[""], context), output, rtol=0, atol=1e-6)
        assert mask is None or (recorded[""].masked_select(~mask) == 0).all()


def test_rows_that_share_a_context_are_recorded_one_by_one() -> None:
    torch.manual_seed(8)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS)
    x, context = torch.randn(2 * BATCH, TIME, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    mask = torch.arange(KEYS) < torch.tensor([5, 2, 4])[:, None, None, None]
    with record_attention(layer) as shared:
        layer(x, context, mask=mask)
    with record_attention(layer) as apart:
        layer(x, context.repeat_interleave(2, dim=0), mask=mask.repeat_interleave(2, dim=0))
    torch.testing.assert_close(shared[""], apart[""], rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [[1] * 7, [3, 1, 3]])
@pytest.mark.parametrize("num_kv_heads", [4, 1])
def test_cached_decoding_gives_the_rows_of_the_whole_text(steps: list[int], num_kv_heads: int) -> None:
    torch.manual_seed(2)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS, num_kv_heads=num_kv_heads).eval()
    rotary, cache = RotaryPositions(head_dim=6), LayerCache(TIME)
    x, positions = torch.randn(BATCH, TIME, WIDTH), torch.arange(TIME)[None]
    with record_attention(layer) as whole:
        layer(x, causal=True, rotary=rotary(positions))
    end = 0
    for part, places in zip(x.split(steps, dim=1), positions.split(steps, dim=1), strict=True):
        start, end = end, end + part.shape[1]
        with record_attention(layer) as recorded:
            output = layer(part, causal=True, rotary=rotary(places), cache=cache)
        torch.testing.assert_close(rebuilt(layer, recorded[""], x[:, :end]), output, rtol=0, atol=1e-6)
        torch.testing.assert_close(recorded[""], whole[""][:, :, start:end, :end], rtol=0, atol=1e-6)


def test_scale_and_width_of_heads_are_the_layers() -> None:
    torch.manual_seed(3)
    layer = MultiHeadAttention(d_model=WIDTH, num_heads=5, head_dim=8, scale=1.0, bias=False)
    x = torch.randn(BATCH, TIME, WIDTH)
    with record_attention(layer) as recorded:
        output = layer(x, causal=True)
    torch.testing.assert_close(rebuilt(layer, recorded[""], x), output, rtol=0, atol=1e-6)


def test_a_query_that_may_see_nothing_has_zeros_and_nan_stays_nan() -> None:
    queries, keys = torch.randn(1, 1, 3, 4), torch.randn(1, 1, 3, 4)
    mask = torch.tensor([[True, True, True], [False, False, False], [True, False, True]])
    weights = attention_weights(queries, keys, mask=mask)
    assert (weights[0, 0, 1] == 0).all() and weights[0, 0, 2, 1] == 0
    keys[..., 0, :] = torch.nan  # a network that diverged is not painted over
    assert attention_weights(queries, keys, mask=mask)[0, 0, 0].isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(4)
    queries, keys = torch.randn(2, 4, 6, 8).to(dtype), torch.randn(2, 2, 6, 8).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = attention_weights(queries, keys, causal=True)
    assert weights.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    exact = attention_weights(queries.double(), keys.double(), causal=True)
    torch.testing.assert_close(weights.double(), exact, rtol=0, atol=1e-6)


class Calls(TorchDispatchMode):
    """Lists every operator that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


def operators(call: Callable[[], object]) -> list[str]:
    with Calls() as calls:
        call()
    return calls.names


def test_a_layer_that_is_not_recorded_runs_no_further_operator() -> None:
    layer, x = MultiHeadAttention(d_model=WIDTH, num_heads=HEADS), torch.randn(BATCH, TIME, WIDTH)

    def without_hook() -> Tensor:
        attended = layer._attend(*layer._project(x), None, True, None)
        return layer.output(attended.transpose(1, 2).flatten(2)).view(x.shape)

    expected = operators(without_hook)
    assert operators(lambda: layer(x, causal=True)) == expected
    with record_attention(layer):
        assert len(operators(lambda: layer(x, causal=True))) > len(expected)
    assert operators(lambda: layer(x, causal=True)) == expected


def gpt(**options: Any) -> nn.Module:
    torch.manual_seed(5)
    return build_model(GPTConfig(**SMALL, **options))


def step(network: nn.Module) -> list[Tensor]:
    """Loss and gradients of one training step, dropout included."""
    torch.manual_seed(6)
    ids = torch.randint(11, (2, 9))
    network.zero_grad()
    total, _ = network.loss(ids[:, :-1], ids[:, 1:])
    total.backward()
    return [total.detach(), *(parameter.grad.clone() for parameter in network.parameters())]


@pytest.mark.parametrize("recomputed", [False, True])
def test_a_training_step_has_the_same_bits_before_during_and_after(recomputed: bool) -> None:
    network = gpt(dropout=0.3)
    if recomputed:
        recompute_blocks(network)
    before = step(network)
    with record_attention(network) as recorded:
        during = step(network)
    for numbers in (during, step(network)):
        assert all(torch.equal(one, other) for one, other in zip(numbers, before, strict=True))
    assert all(not weights.requires_grad for weights in recorded.values())


def test_a_compiled_network_is_whole_records_and_is_not_compiled_again() -> None:
    compiled: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        compiled.append(len(graph.graph.nodes))
        return graph.forward

    network, ids = gpt().eval(), torch.randint(11, (2, 8))
    with record_attention(network) as plain:
        expected = network(ids)
    fast = torch.compile(network, fullgraph=True, backend=backend, dynamic=False)
    with torch.no_grad():
        torch.testing.assert_close(fast(ids), expected)
        with record_attention(fast) as recorded:
            fast(ids)
        assert recorded.keys() == plain.keys() and all(torch.equal(recorded[key], plain[key]) for key in plain)
        fast(ids)
    assert len(compiled) == 1


def test_every_attention_layer_is_named_as_in_the_network() -> None:
    network, ids = gpt(), torch.randint(11, (2, 8))
    with record_attention(network) as recorded:
        network(ids)
    assert set(recorded) == {"blocks.0.attention", "blocks.1.attention"}
    both = build_model(EncoderDecoderConfig(**SMALL, num_encoder_layers=1))
    with record_attention(both) as recorded:
        both(ids, ids[:, :3])
    assert {name: weights.shape[2:] for name, weights in recorded.items()} == {
        "encoder_blocks.0.attention": (8, 8),
        "decoder_blocks.0.attention": (3, 3),
        "decoder_blocks.0.cross_attention": (3, 8),
        "decoder_blocks.1.attention": (3, 3),
        "decoder_blocks.1.cross_attention": (3, 8),
    }


def test_nested_recordings_all_record_and_other_networks_do_not() -> None:
    network, other, ids = gpt(), gpt(), torch.randint(11, (2, 8))
    with record_attention(network) as outer:
        other(ids)
        assert outer == {}
        with record_attention(network.blocks[0]) as inner, torch.inference_mode():
            network(ids)
        first = {name: weights.clone() for name, weights in inner.items()}
        network(ids.flip(0))
    assert set(first) == {"attention"} and set(outer) == {"blocks.0.attention", "blocks.1.attention"}
    torch.testing.assert_close(outer["blocks.0.attention"], first["attention"].flip(0))
    assert all(torch.equal(inner[name], first[name]) for name in first)


def test_an_error_leaves_no_recorder() -> None:
    network = gpt()
    with pytest.raises(IndexError), record_attention(network):
        network(torch.tensor([[99]]))
    assert all(layer.recorder is None for layer in network.modules() if isinstance(layer, MultiHeadAttention))


def test_record_evaluates_and_leaves_modes_and_random_numbers_alone() -> None:
    network = gpt(dropout=0.5).train()
    network.blocks[0].eval()
    modes = {name: module.training for name, module in network.named_modules()}
    ids = torch.randint(11, (2, 9))
    state = torch.get_rng_state()
    recorded = record(network, {"inputs": ids[:, :-1], "targets": ids[:, 1:]})
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: module.training for name, module in network.named_modules()} == modes
    with record_attention(network.eval()) as expected:
        network(ids[:, :-1])
    assert all(torch.equal(recorded[name], expected[name]) for name in expected)
