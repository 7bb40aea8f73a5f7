"""Parts that networks with one stack of blocks share."""

from torch import Tensor, nn

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GPTConfig, TransformerConfig
from lit_transformer.nn.blocks import EncoderBlock
from lit_transformer.nn.cache import KVCache
from lit_transformer.nn.norms import build_norm
from lit_transformer.nn.positions import Rotary, RotaryPositions, SinusoidalPositions


def build_blocks(config: TransformerConfig, *, num_kv_heads: int | None = None) -> nn.ModuleList:
    """The blocks, `num_layers` of them."""
    return nn.ModuleList(
        EncoderBlock(
            d_model=config.d_model,
            num_heads=config.num_heads,
            num_kv_heads=num_kv_heads,
            d_ff=config.d_ff,
            dropout=config.dropout,
            activation=config.activation,
            norm=config.norm,
            pre_norm=config.norm_position == "pre",
            bias=config.bias,
            norm_eps=config.norm_eps,
        )
        for _ in range(config.num_layers)
    )


def run_blocks(
    blocks: nn.ModuleList,
    x: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    rotary: Rotary | None = None,
    cache: KVCache | None = None,
    places: Tensor | None = None,
) -> Tensor:
    """x (batch, time, d_model) through all blocks; with places (batch, n) the last one works at these alone."""
    last = len(blocks) - 1
    for index, block in enumerate(blocks):
        layer = cache.layers[index] if cache is not None else None
        wanted = places if index == last else None
        x = block(x, mask=mask, causal=causal, rotary=rotary, cache=layer, places=wanted)
    return x


def build_last_norm(config: TransformerConfig) -> nn.Module:
    """The norm after the last block; post-norm blocks end with one of their own."""
    if config.norm_position == "post":
        return nn.Identity()
    return build_norm(config.norm, config.d_model, bias=config.bias, eps=config.norm_eps)


def build_positions(
    config: GPTConfig | BertConfig | EncoderDecoderConfig,
) -> tuple[nn.Module | None, RotaryPositions | None]:
    """What is added to the token embeddings, and what turns queries and keys: one of the two."""
    if config.positions == "learned":
        return nn.Embedding(config.context_length, config.d_model), None
    if config.positions == "sinusoidal":
        return SinusoidalPositions(d_model=config.d_model), None
    return None, RotaryPositions(head_dim=config.d_model // config.num_heads)
