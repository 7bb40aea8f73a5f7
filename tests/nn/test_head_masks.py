"""A masked head is one whose columns of the output projection are zero, and without masks nothing changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lit_transformer.config.models import EncoderDecoderConfig, GPTConfig
from lit_transformer.models import build_model
from lit_transformer.nn.attention import attention_layers
from lit_transformer.nn.head_masks import mask_heads

SMALL = {"vocab_size": 11, "context_length": 8, "d_model": 16, "num_heads": 4, "num_layers": 2}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "gpt": lambda: build_model(GPTConfig(**SMALL)),
    "grouped queries": lambda: build_model(GPTConfig(**SMALL, num_kv_heads=2)),
    "encoder and decoder": lambda: build_model(EncoderDecoderConfig(**SMALL)),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[request.param]().eval()


def ids(network: nn.Module) -> tuple[Tensor, ...]:
    found = torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(1))
    return (found,) if isinstance(network.config, GPTConfig) else (found, found[:, :5])


def test_a_masked_head_is_one_whose_columns_are_zero(network: nn.Module) -> None:
    for name, layer in attention_layers(network).items():
        for head in range(layer.num_heads):
            mask = torch.ones(4).index_fill(0, torch.tensor([head]), 0)
            with mask_heads(network, {name: mask}):
                masked = network(*ids(network))
            columns = slice(head * layer.head_dim, (head + 1) * layer.head_dim)
            kept = layer.output.weight.data[:, columns].clone()
            layer.output.weight.data[:, columns] = 0
            assert torch.equal(masked, network(*ids(network)))
            layer.output.weight.data[:, columns] = kept


def test_masks_of_ones_and_no_masks_leave_every_bit(network: nn.Module) -> None:
    expected = network(*ids(network))
    with mask_heads(network, {name: torch.ones(4) for name in attention_layers(network)}):
        assert torch.equal(network(*ids(network)), expected)
    assert torch.equal(network(*ids(network)), expected)
    assert not any(layer.output._forward_pre_hooks for layer in attention_layers(network).values())


def test_each_row_has_its_own_mask_and_nested_ones_multiply(network: nn.Module) -> None:
    (name, *_), inputs = attention_layers(network), ids(network)
    masks = torch.rand(3, 4)
    with mask_heads(network, {name: masks}):
        together = network(*inputs)
        twice = network(*(each.repeat_interleave(2, dim=0) for each in inputs))  # two sequences a row
    torch.testing.assert_close(twice, together.repeat_interleave(2, dim=0))
    for row, mask in enumerate(masks):
        with mask_heads(network, {name: mask.sqrt()}), mask_heads(network, {name: mask.sqrt()}):
            torch.testing.assert_close(network(*(each[row : row + 1] for each in inputs))[0], together[row])


def test_a_compiled_network_is_masked_too_and_is_not_compiled_again() -> None:
    compiled: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        compiled.append(len(graph.graph.nodes))
        return graph.forward

    network = NETWORKS["gpt"]().eval()
    inputs = ids(network)
    fast = torch.compile(network, fullgraph=True, backend=backend, dynamic=False)
    with torch.no_grad():
        whole = fast(*inputs)
        mask = {"blocks.1.attention": torch.tensor([1.0, 0.0, 1.0, 1.0])}
        with mask_heads(network, mask):
            expected = network(*inputs)
        with mask_heads(fast, mask):
            masked = fast(*inputs)
        assert torch.equal(masked, expected) and not torch.equal(masked, whole)
        assert torch.equal(fast(*inputs), whole)
    assert len(compiled) == 1


def test_an_error_leaves_no_mask_and_wrong_ones_are_refused() -> None:
    network = NETWORKS["gpt"]()
    with pytest.raises(IndexError), mask_heads(network, {"blocks.0.attention": torch.zeros(4)}):
        network(torch.tensor([[99]]))
    for masks, words in (
        ({"blocks.0.attention": torch.zeros(4), "blocks.7.attention": torch.zeros(4)}, "there is no attention layer"),
        ({"blocks.0.attention": torch.zeros(3)}, "has 4 heads, its mask has 3"),
    ):
        with pytest.raises(ValueError, match=words), mask_heads(network, masks):
            pass
    assert not any(layer.output._forward_pre_hooks for layer in attention_layers(network).values())
