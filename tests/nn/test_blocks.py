"""Blocks against torch's own Transformer layers with the same weights: outputs and gradients."""

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.blocks import DecoderBlock, EncoderBlock
from lit_transformer.nn.masks import padding_mask

BATCH, TIME, KEYS, WIDTH, HEADS, INNER = 3, 7, 5, 16, 4, 40
PADDED = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]])
PADDED_CONTEXT = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]])


def randomise(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)


def pairs(block: EncoderBlock | DecoderBlock, peer: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Our parameters beside torch's."""
    attentions = [(block.attention, peer.self_attn)]
    norms = [block.attention_norm, block.feed_forward_norm]
    if isinstance(block, DecoderBlock):
        attentions.append((block.cross_attention, peer.multihead_attn))
        norms.insert(1, block.cross_attention_norm)
    modules: list[tuple[nn.Module, nn.Module]] = [
        (block.feed_forward.input, peer.linear1),
        (block.feed_forward.output, peer.linear2),
        *((norm, getattr(peer, f"norm{i + 1}")) for i, norm in enumerate(norms)),
    ]
    result = []
    for ours, theirs in attentions:
        assert isinstance(ours, MultiHeadAttention) and isinstance(theirs, nn.MultiheadAttention)
        result += [(ours.input.weight, theirs.in_proj_weight), (ours.input.bias, theirs.in_proj_bias)]
        modules.append((ours.output, theirs.out_proj))
    for left, right in modules:
        result += list(zip(left.parameters(), right.parameters(), strict=True))
    return result


def check(ours: Tensor, theirs: Tensor, kept: Tensor, both: list[tuple[nn.Parameter, nn.Parameter]], x: Tensor) -> None:
    torch.testing.assert_close(ours[kept], theirs[kept], rtol=0, atol=1e-5)
    weight = torch.randn_like(ours) * kept[..., None]
    left = torch.autograd.grad((ours * weight).sum(), [x, *(a for a, _ in both)])
    right = torch.autograd.grad((theirs * weight).sum(), [x, *(b for _, b in both)])
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("causal", [True, False])
def test_encoder_block(pre_norm: bool, activation: Literal["relu", "gelu"], causal: bool) -> None:
    torch.manual_seed(0)
    block = EncoderBlock(d_model=WIDTH, num_heads=HEADS, d_ff=INNER, activation=activation, pre_norm=pre_norm)
    peer = nn.TransformerEncoderLayer(
        WIDTH, HEADS, INNER, dropout=0.0, activation=activation, batch_first=True, norm_first=pre_norm
    )
    randomise(peer)
    both = pairs(block, peer)
    with torch.no_grad():
        for ours, theirs in both:
            ours.copy_(theirs)
    assert len(both) == len(list(block.parameters())) == len(list(peer.parameters()))
    x = torch.randn(BATCH, TIME, WIDTH, requires_grad=True)
    later = torch.ones(TIME, TIME, dtype=torch.bool).triu(1) if causal else None
    theirs = peer(x, src_mask=later, src_key_padding_mask=PADDED == 0)
    check(block(x, mask=padding_mask(PADDED, 0), causal=causal), theirs, PADDED == 1, both, x)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_decoder_block(pre_norm: bool, activation: Literal["relu", "gelu"]) -> None:
    torch.manual_seed(1)
    block = DecoderBlock(d_model=WIDTH, num_heads=HEADS, d_ff=INNER, activation=activation, pre_norm=pre_norm)
    peer = nn.TransformerDecoderLayer(
        WIDTH, HEADS, INNER, dropout=0.0, activation=activation, batch_first=True, norm_first=pre_norm
    )
    randomise(peer)
    both = pairs(block, peer)
    with torch.no_grad():
        for ours, theirs in both:
            ours.copy_(theirs)
    assert len(both) == len(list(block.parameters())) == len(list(peer.parameters()))
    x, context = torch.randn(BATCH, TIME, WIDTH, requires_grad=True), torch.randn(BATCH, KEYS, WIDTH)
    theirs = peer(
        x,
        context,
        tgt_mask=torch.ones(TIME, TIME, dtype=torch.bool).triu(1),
        tgt_key_padding_mask=PADDED == 0,
        memory_key_padding_mask=PADDED_CONTEXT == 0,
    )
    ours = block(x, context, mask=padding_mask(PADDED, 0), context_mask=padding_mask(PADDED_CONTEXT, 0))
    check(ours, theirs, PADDED == 1, both, x)


def test_dropout_everywhere_and_nowhere_when_evaluating() -> None:
    torch.manual_seed(2)
    x, context = torch.randn(BATCH, TIME, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    block = DecoderBlock(d_model=WIDTH, num_heads=HEADS, dropout=0.3)
    assert not torch.equal(block(x, context), block(x, context))
    block.eval()
    assert torch.equal(block(x, context), block(x, context))
    with torch.no_grad():  # silence every sublayer: the residual stream is all that is left
        for layer in (block.attention.output, block.cross_attention.output, block.feed_forward.output):
            layer.weight.zero_()
            layer.bias.zero_()
    assert torch.equal(block.train()(x, context), x)
