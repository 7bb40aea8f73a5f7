"""Attention for training on CPUs, with dropout on its probabilities and a bias that learns.

torch's fused CPU kernel has neither, and what it falls back to draws masks slowly, copies its inputs and also works
above the diagonal. This takes a few queries at a time, so that scores stay in the cache and causal ones stop at the
diagonal. It keeps the probabilities for the gradient, which up to a few hundred keys is faster than to compute them
again, as the fused kernel does. Compiled networks call it as it is, through custom operators.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit_transformer.nn.dropout import draw_mask

QUERIES, CAUSAL_QUERIES = 128, 64
"""Queries taken at once; fewer of a long row where a block then sees fewer keys."""


def _blocks(
    heads: int, queries: int, keys: int, causal: bool
) -> Iterator[tuple[slice, int, slice, tuple[int, int, int]]]:
    """Rows of queries, keys that they see, place among all probabilities, and shape there (heads, rows, seen)."""
    place, step = 0, CAUSAL_QUERIES if causal and queries > QUERIES else QUERIES
    for start in range(0, queries, step):
        stop = min(start + step, queries)
        seen = stop if causal else keys
        size = heads * (stop - start) * seen
        yield slice(start, stop), seen, slice(place, place + size), (heads, stop - start, seen)
        place += size


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    causal: bool,
    scale: float,
    p: float,
) -> Tensor:
    """softmax(scale queries keys^T + bias) values with each probability dropped with chance p, in the queries' shape.

    queries (batch, heads, queries, width), keys and values (batch, heads, keys, width); mask (boolean, True = may
    attend) and bias (1 or batch, 1 or heads, 1 or queries, keys); causal needs as many keys as queries.
    """
    inputs = (queries, keys, values, mask, bias, causal, scale, p)
    return dropout_attention(*inputs)[0] if torch.compiler.is_compiling() else _Eager.apply(*inputs)


def _forward(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    causal: bool,
    scale: float,
    p: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """What `attend` returns, the probabilities and the factors of their dropout (none where p is 0), block by block."""
    batch, heads, time, _ = queries.shape
    blocks = list(_blocks(batch * heads, time, keys.shape[2], causal))
    probabilities = queries.new_empty(blocks[-1][2].stop)
    factors = draw_mask(probabilities if p else probabilities[:0], p)
    attended = _empty_like(queries)
    queries, keys, values = _scaled(_flat(queries), scale), _flat(keys), _flat(values)
    added = _additive(mask, bias, queries.dtype)
    for rows, seen, place, shape in blocks:
        scores = torch.bmm(queries[:, rows], keys[:, :seen].mT)  # (batch * heads, rows, seen)
        for term in added:
            scores.unflatten(0, (batch, heads)).add_(_part(term, rows, seen))
        if causal:
            scores[..., rows.start :] += _later(rows.stop - rows.start, scores)
        kept = probabilities[place].view(shape)
        torch.softmax(scores, dim=-1, out=kept)
        if mask is not None:
            kept.nan_to_num_(0.0)  # a query that may attend to nothing gets zeros, as in scaled_dot_product_attention
        weights = torch.mul(kept, factors[place].view(shape), out=scores) if p else kept
        attended[:, :, rows] = torch.bmm(weights, values[:, :seen]).unflatten(0, (batch, heads))
    return attended, probabilities, factors


def _empty_like(x: Tensor) -> Tensor:
    """A new tensor (batch, heads, time, width) whose memory is that of (batch, time, heads, width).

    So the heads of a place lie beside one another, and what comes next can join them without a copy.
    """
    batch, heads, time, width = x.shape
    return x.new_empty(batch, time, heads, width).transpose(1, 2)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(0, 1)  # (batch * heads, time, width)


def _scaled(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1 else x * scale


def _additive(mask: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> list[Tensor]:
    """What is added to scores; adding minus infinity is several times faster than masked_fill on a CPU."""
    terms = [] if bias is None else [bias]
    if mask is not None:
        terms.append(torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf))
    return terms


def _part(term: Tensor, rows: slice, seen: int) -> Tensor:
    """The part of a term (batch, heads, 1 or queries, keys) for some queries and the keys that they see."""
    return term[:, :, rows if term.shape[2] > 1 else slice(None), :seen]


def _later(width: int, like: Tensor) -> Tensor:
    return torch.full((width, width), -torch.inf, dtype=like.dtype, device=like.device).triu_(1)


def _gradients(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    probabilities: Tensor,
    factors: Tensor,
    bias_shape: list[int],
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, heads, time, _ = queries.shape
    gradient, queries, keys, values = _flat(gradient), _scaled(_flat(queries), scale), _flat(keys), _flat(values)
    for_queries, for_keys, for_values = (torch.empty_like(x) for x in (queries, keys, values))
    for_bias = queries.new_zeros(bias_shape)
    # From the last block, which sees every key and so can write where the others add.
    for index, (rows, seen, place, shape) in enumerate(
        reversed(list(_blocks(batch * heads, time, keys.shape[1], causal)))
    ):
        kept = probabilities[place].view(shape)
        factor = factors[place].view(shape) if factors.numel() else None
        weights = kept if factor is None else kept * factor
        for_kept = torch.bmm(gradient[:, rows], values[:, :seen].mT)  # (batch * heads, rows, seen)
        if factor is not None:
            for_kept.mul_(factor)
        for_scores = torch._softmax_backward_data(for_kept, kept, -1, kept.dtype)
        if bias_shape:
            part = _part(for_bias, rows, seen)
            part += for_scores.unflatten(0, (batch, heads)).sum_to_size(part.shape)
        for_queries[:, rows] = _scaled(torch.bmm(for_scores, keys[:, :seen]), scale)
        if index:
            for_values[:, :seen].baddbmm_(weights.mT, gradient[:, rows])
            for_keys[:, :seen].baddbmm_(for_scores.mT, queries[:, rows])
        else:
            torch.bmm(weights.mT, gradient[:, rows], out=for_values)
            torch.bmm(for_scores.mT, queries[:, rows], out=for_keys)
    for_queries, for_keys, for_values = (x.unflatten(0, (batch, heads)) for x in (for_queries, for_keys, for_values))
    return for_queries, for_keys, for_values, for_bias


dropout_attention = torch.library.custom_op(
    "lit_transformer::dropout_attention", _forward, mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,)
)
_gradients_operator = torch.library.custom_op(
    "lit_transformer::dropout_attention_backward", _gradients, mutates_args=()
)


@dropout_attention.register_fake
def _(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    causal: bool,
    scale: float,
    p: float,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, heads, time, _ = queries.shape
    *_, last = _blocks(batch * heads, time, keys.shape[2], causal)
    probabilities = queries.new_empty(last[2].stop)
    return _empty_like(queries), probabilities, torch.empty_like(probabilities if p else probabilities[:0])


@_gradients_operator.register_fake
def _(
    gradient: Tensor,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    probabilities: Tensor,
    factors: Tensor,
    bias_shape: list[int],
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    gradients = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (queries, keys, values)]
    return gradients[0], gradients[1], gradients[2], queries.new_empty(bias_shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    queries, keys, values, _, bias, causal, scale, _ = inputs
    ctx.options = ([] if bias is None else list(bias.shape), causal, scale)
    ctx.save_for_backward(queries, keys, values, output[1], output[2])
    ctx.set_materialize_grads(False)  # else zeros as large as the probabilities would be made for their gradients


def _backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return _in_order(ctx, *_gradients_operator(gradient, *ctx.saved_tensors, *ctx.options))


def _in_order(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    """Those of queries, keys, values and bias, at the places of the inputs."""
    return *gradients[:3], None, gradients[3] if ctx.options[0] else None, None, None, None


dropout_attention.register_autograd(_backward, setup_context=_save)


class _Eager(torch.autograd.Function):
    """The same without the operators' dispatch, which would cost as much as the attention of a small batch."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        # Contiguous at once, for the backward pass as well.
        inputs = (*(x.contiguous() for x in inputs[:3]), *inputs[3:])
        output = _forward(*inputs)
        _save(ctx, inputs, output)
        return output[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _in_order(ctx, *_gradients(gradient, *ctx.saved_tensors, *ctx.options))
