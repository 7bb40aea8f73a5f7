"""Attention for training on CPUs, with dropout on its probabilities.

torch's fused CPU kernel has no dropout, and what it falls back to draws masks slowly, copies its inputs and also works
above the diagonal. This takes a few queries at a time, so that scores stay in the cache and causal ones stop at the
diagonal. It keeps the probabilities for the gradient, which up to a few hundred keys is faster than to compute them
again, as the fused kernel does. Written as custom operators, so that compiled networks call it as it is.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lit_transformer.nn.dropout import draw_mask

QUERIES = 64
"""Queries taken at once."""


def _blocks(
    heads: int, queries: int, keys: int, causal: bool
) -> Iterator[tuple[slice, int, slice, tuple[int, int, int]]]:
    """Rows of queries, keys that they see, place among all probabilities, and shape there (heads, rows, seen)."""
    place = 0
    for start in range(0, queries, QUERIES):
        stop = min(start + QUERIES, queries)
        seen = stop if causal else keys
        size = heads * (stop - start) * seen
        yield slice(start, stop), seen, slice(place, place + size), (heads, stop - start, seen)
        place += size


@torch.library.custom_op(
    "lit_transformer::dropout_attention", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
def dropout_attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool, scale: float, p: float
) -> tuple[Tensor, Tensor, Tensor]:
    """softmax(scale queries keys^T) values with each probability dropped with chance p: (heads, queries, width).

    queries (heads, queries, width), keys and values (heads, keys, width), where heads counts those of the whole batch;
    mask boolean (heads, queries, keys), True = may attend; causal needs as many keys as queries. Also returns the
    probabilities and the factors of their dropout (none where p is 0), block after block, for the gradient.
    """
    blocks = list(_blocks(len(queries), queries.shape[1], keys.shape[1], causal))
    probabilities = queries.new_empty(blocks[-1][2].stop)
    factors = draw_mask(probabilities if p else probabilities[:0], p)
    attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
    for rows, seen, place, shape in blocks:
        scores = torch.bmm(queries[:, rows] * scale, keys[:, :seen].mT)  # (heads, rows, seen)
        if causal:
            width = rows.stop - rows.start
            later = torch.ones(width, width, dtype=torch.bool, device=scores.device).triu(1)
            scores[..., rows.start :].masked_fill_(later, -torch.inf)
        if mask is not None:
            scores.masked_fill_(~mask[:, rows, :seen], -torch.inf)
        kept = probabilities[place].view(shape)
        torch.softmax(scores, dim=-1, out=kept)
        if mask is not None:
            kept.nan_to_num_(0.0)  # a query that may attend to nothing gets zeros, as in scaled_dot_product_attention
        weights = torch.mul(kept, factors[place].view(shape), out=scores) if p else kept
        attended[:, rows] = torch.bmm(weights, values[:, :seen])
    return attended, probabilities, factors


@torch.library.custom_op("lit_transformer::dropout_attention_backward", mutates_args=())
def _gradients(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    probabilities: Tensor,
    factors: Tensor,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    for_queries = torch.empty_like(queries, memory_format=torch.contiguous_format)
    for_keys, for_values = torch.zeros_like(keys), torch.zeros_like(values)
    for rows, seen, place, shape in _blocks(len(queries), queries.shape[1], keys.shape[1], causal):
        kept = probabilities[place].view(shape)
        factor = factors[place].view(shape) if factors.numel() else None
        for_rows = gradient[:, rows].contiguous()  # (heads, rows, width)
        for_values[:, :seen] += torch.bmm((kept if factor is None else kept * factor).mT, for_rows)
        for_kept = torch.bmm(for_rows, values[:, :seen].mT)  # (heads, rows, seen)
        if factor is not None:
            for_kept.mul_(factor)
        for_scores = torch._softmax_backward_data(for_kept, kept, -1, kept.dtype)
        for_queries[:, rows] = torch.bmm(for_scores, keys[:, :seen]).mul_(scale)
        for_keys[:, :seen] += torch.bmm(for_scores.mT, queries[:, rows] * scale)
    return for_queries, for_keys, for_values


@dropout_attention.register_fake
def _(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool, scale: float, p: float
) -> tuple[Tensor, Tensor, Tensor]:
    *_, last = _blocks(len(queries), queries.shape[1], keys.shape[1], causal)
    probabilities = queries.new_empty(last[2].stop)
    attended = torch.empty_like(queries, memory_format=torch.contiguous_format)
    return attended, probabilities, torch.empty_like(probabilities if p else probabilities[:0])


@_gradients.register_fake
def _(gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    for_queries = torch.empty_like(queries, memory_format=torch.contiguous_format)
    return for_queries, torch.empty_like(keys), torch.empty_like(values)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    queries, keys, values, _, ctx.causal, ctx.scale, _ = inputs
    ctx.save_for_backward(queries, keys, values, output[1], output[2])
    ctx.set_materialize_grads(False)  # else zeros as large as the probabilities would be made for their gradients


def _backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return *_gradients(gradient, *ctx.saved_tensors, ctx.causal, ctx.scale), None, None, None, None


dropout_attention.register_autograd(_backward, setup_context=_save)
