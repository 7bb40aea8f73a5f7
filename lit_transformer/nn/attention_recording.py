"""Attention weights of any network, computed beside the fused kernels, which never form them.

A layer with a `recorder` hands it the queries and keys that it attends with. Outside `record_attention` none has one:
training pays for one comparison a layer, a compiled network for one guard.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lit_transformer.nn.attention import Recorder, attention_layers
from lit_transformer.nn.masks import causal_mask, combine


def attention_weights(
    queries: Tensor,
    keys: Tensor,
    *,
    scale: float | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    position_bias: Tensor | None = None,
) -> Tensor:
    """softmax(scale queries keys^T + bias): (batch, heads, queries, keys), in float32 at least, without dropout.

    queries (batch, heads, queries, head_dim) and keys (batch, num_kv_heads, keys, head_dim), both already rotated; the
    options are those of MultiHeadAttention. Masked keys get 0, and so does every key of a query that may see none.
    """
    with torch.no_grad(), torch.autocast(queries.device.type, enabled=False):
        queries, keys = (x.float() if x.dtype.itemsize < 4 else x for x in (queries, keys))
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)  # (batch, heads, keys, head_dim)
        scale = queries.shape[-1] ** -0.5 if scale is None else scale
        scores = queries @ keys.mT * scale  # (batch, heads, queries, keys)
        if position_bias is not None:
            scores = scores + position_bias
        if causal:
            mask = combine(mask, causal_mask(*scores.shape[-2:], device=scores.device))
        if mask is None:
            return scores.softmax(dim=-1)
        # a row of -inf becomes NaN, and only there does the second fill change anything
        return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1).masked_fill(~mask, 0.0)


@contextmanager
def observe_attention(network: nn.Module, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within it, each attention layer that runs gives `see` its name and its weights (batch, heads, queries, keys).

    A name is the module's, such as `blocks.0.attention` or `decoder_blocks.1.cross_attention`; weights are those of
    `attention_weights`, without gradient. Compiled networks run uncompiled meanwhile and are not compiled again
    afterwards. Where observations are nested, each sees everything.
    """
    layers = attention_layers(network)
    before = {name: layer.recorder for name, layer in layers.items()}
    try:
        for name, layer in layers.items():
            layer.recorder = _recorder(see, name, layer.scale, before[name])
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for name, layer in layers.items():
            layer.recorder = before[name]


@contextmanager
def record_attention(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Within it, each forward pass fills the dict: an attention layer's name -> the weights of its last call.

    Names, weights and the rest are those of `observe_attention`.
    """
    recorded: dict[str, Tensor] = {}
    with observe_attention(network, recorded.__setitem__):
        yield recorded


def _recorder(see: Callable[[str, Tensor], None], name: str, scale: float | None, outer: Recorder | None) -> Recorder:
    def record(
        rows: int, queries: Tensor, keys: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None
    ) -> None:
        weights = attention_weights(queries, keys, scale=scale, mask=mask, causal=causal, position_bias=bias)
        # rows that share a context lie behind one another among its queries
        weights = weights.unflatten(2, (rows // len(weights), -1))  # (contexts, heads, sharing, queries, keys)
        see(name, weights.transpose(1, 2).flatten(0, 1))  # (batch, heads, queries, keys)
        if outer is not None:
            outer(rows, queries, keys, mask, causal, bias)

    return record


def record(network: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of every attention layer for a batch as the network's `loss` takes it, such as a probe at validation.

    The network evaluates meanwhile, without dropout, and draws no random number; afterwards each of its modules trains
    or evaluates as before.
    """
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad(), record_attention(network) as recorded:
            network.loss(**batch)  # type: ignore[operator]
    finally:
        for module in training:
            module.training = True
    return recorded
