"""Multi-head attention: self and cross, with any number of key and value heads."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.nn.cache import LayerCache
from lit_transformer.nn.dropout_attention import attend
from lit_transformer.nn.linear import Linear, linear
from lit_transformer.nn.masks import causal_mask, combine
from lit_transformer.nn.packing import Packing, packed, unpacked
from lit_transformer.nn.positions import Rotary, rotate

SKIPS = range(129, 513)
"""Numbers of keys for which causal training on a CPU is faster by `attend`, which stops at the diagonal."""

Recorder = Callable[[int, Tensor, Tensor, Tensor | None, bool, Tensor | None], None]
"""Is told what a layer attends with: rows of its input, queries, keys, mask, causal, position bias."""


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017, section 3.2).

    num_kv_heads below num_heads is grouped-query attention (Ainslie et al. 2023), 1 is multi-query attention (Shazeer
    2019). head_dim None = d_model / num_heads; scale None = 1 / sqrt(head_dim). Raises ValueError for heads that do not
    divide.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        scale: float | None = None,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads or num_heads
        if num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads {self.num_kv_heads} does not divide num_heads {num_heads}")
        if head_dim is None and d_model % num_heads:
            raise ValueError(f"num_heads {num_heads} does not divide d_model {d_model}")
        self.head_dim = head_dim or d_model // num_heads
        self.scale, self.dropout = scale, dropout
        self.recorder: Recorder | None = None  # set by record_attention
        self.query_width, self.kv_width = num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        # Queries, keys and values in one matrix: one large product is faster than three.
        self.input = Linear(d_model, self.query_width + 2 * self.kv_width, bias=bias)
        self.output = Linear(self.query_width, d_model, bias=bias)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        position_bias: Tensor | None = None,
        rotary: Rotary | None = None,
        cache: LayerCache | None = None,
        packing: Packing | None = None,
        context_packing: Packing | None = None,
    ) -> Tensor:
        """Attend from x (batch, queries, d_model) to itself or to context (batch, keys, d_model).

        mask: boolean, True = may attend; position_bias: added to the scaled scores; both broadcast to
        (batch, heads, queries, keys). With a cache, self-attention also sees the keys in it, and cross-attention
        projects its context once and then takes it from there. A context of fewer rows is shared: row i of it by the
        i-th of as many equal parts of x (the hypotheses of a beam), and mask is then the same for all queries. With a
        packing x and the result are (1, tokens, d_model), with a context_packing the context is so.
        """
        shape = x.shape
        contexts = context.shape[0] if context is not None else shape[0]
        contexts = context_packing.batch if context_packing is not None else contexts
        if packing is None and contexts < shape[0]:
            x = x.unflatten(0, (contexts, -1)).flatten(1, 2)  # (contexts, rows of each * queries, d_model)
        if context is None:
            queries, keys, values = self._project(x, packing)
        else:
            queries, keys, values = self._project_cross(x, context, cache, packing, context_packing)
        if rotary is not None:
            queries, keys = rotate(queries, rotary), rotate(keys, rotary)
        if cache is not None and context is None:
            keys, values = cache.append(keys, values)
        if self.recorder is not None:
            self.recorder(
                packing.batch if packing is not None else shape[0], queries, keys, mask, causal, position_bias
            )
        attended = self._attend(queries, keys, values, mask, causal, position_bias)
        attended = packed(attended.transpose(1, 2).flatten(2), packing)  # (batch, queries, query_width)
        return self.output(attended).view(shape)  # (batch, queries, d_model)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (batch, heads, time, head_dim)

    def _project(self, x: Tensor, packing: Packing | None = None) -> tuple[Tensor, Tensor, Tensor]:
        projected = unpacked(self.input(x), packing)  # (batch, time, all three widths)
        queries, keys, values = projected.split((self.query_width, self.kv_width, self.kv_width), dim=-1)
        return self._heads(queries), self._heads(keys), self._heads(values)

    def _project_cross(
        self,
        x: Tensor,
        context: Tensor,
        cache: LayerCache | None,
        packing: Packing | None,
        context_packing: Packing | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        widths = (self.query_width, 2 * self.kv_width)
        weights = self.input.weight.split(widths)
        biases = self.input.bias.split(widths) if self.input.bias is not None else (None, None)
        queries = self._heads(unpacked(linear(x, weights[0], biases[0]), packing))
        if cache is not None and cache.length:
            return queries, *cache.contents()
        keys, values = unpacked(linear(context, weights[1], biases[1]), context_packing).chunk(2, dim=-1)
        keys, values = self._heads(keys), self._heads(values)
        return queries, *(cache.append(keys, values) if cache is not None else (keys, values))

    def _attend(
        self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool, bias: Tensor | None
    ) -> Tensor:
        num_queries, num_keys = queries.shape[2], keys.shape[2]
        causal = causal and num_queries > 1  # one query stands at the last key and sees all
        dropout = self.dropout if self.training else 0.0
        skips = causal and SKIPS.start <= num_keys < SKIPS.stop  # torch.compile knows no `in` for a length that varies
        slow = bias is not None or self.num_kv_heads != self.num_heads or skips
        ours = queries.device.type == "cpu" and (
            dropout > 0 or (self.training and queries.dtype == torch.float32 and slow)
        )
        # is_causal counts from the first key, and in the fused kernels it takes no mask beside it.
        fused_causal = causal and num_queries == num_keys and (ours or (mask is None and bias is None))
        if causal and not fused_causal:
            mask = combine(mask, causal_mask(num_queries, num_keys, device=queries.device))
        if ours:
            return self._attend_on_cpu(queries, keys, values, mask, bias, fused_causal, dropout)
        if bias is not None:
            bias = bias.to(queries.dtype)
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        return F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=fused_causal,
            scale=self.scale,
            enable_gqa=self.num_kv_heads != self.num_heads,
        )  # (batch, heads, queries, head_dim)

    def _attend_on_cpu(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor | None,
        bias: Tensor | None,
        causal: bool,
        dropout: float,
    ) -> Tensor:
        if self.num_kv_heads != self.num_heads:
            group = self.num_heads // self.num_kv_heads
            keys, values = (x.repeat_interleave(group, dim=1) for x in (keys, values))  # (batch, heads, keys, head_dim)
        mask, bias = (x if x is None else x[(None,) * (4 - x.ndim)] for x in (mask, bias))  # each with 4 axes
        scale = self.scale if self.scale is not None else self.head_dim**-0.5
        return attend(queries, keys, values, mask, bias, causal, scale, dropout)  # (batch, heads, queries, head_dim)


def attention_layers(network: nn.Module) -> dict[str, MultiHeadAttention]:
    """Every attention layer of a network by its name in it, such as `blocks.0.attention`, compiled or not."""
    layers = {name: module for name, module in network.named_modules() if isinstance(module, MultiHeadAttention)}
    return {name.replace("_orig_mod.", ""): layer for name, layer in layers.items()}
