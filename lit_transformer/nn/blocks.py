"""Encoder and decoder blocks: attention and feed-forward, each with a residual connection and a norm."""

from functools import partial

from torch import Tensor

from lit_transformer.nn.attention import MultiHeadAttention
from lit_transformer.nn.cache import LayerCache
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.feed_forward import ActivationName, FeedForward
from lit_transformer.nn.norms import NormName, build_norm
from lit_transformer.nn.packing import Packing
from lit_transformer.nn.places import take, take_queries
from lit_transformer.nn.positions import Rotary
from lit_transformer.nn.recompute import Recomputable


class EncoderBlock(Recomputable):
    """Self-attention, then feed-forward; with causal attention it is the block of a decoder-only network.

    Pre-norm normalises what enters a sublayer (Xiong et al. 2020), post-norm the sum after it (Vaswani et al. 2017).
    head_dim and scale are those of MultiHeadAttention; inner_dropout acts inside the feed-forward layer.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        scale: float | None = None,
        d_ff: int | None = None,
        dropout: float = 0.0,
        inner_dropout: float = 0.0,
        activation: ActivationName = "gelu",
        norm: NormName = "layer_norm",
        pre_norm: bool = True,
        bias: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        self.attention_norm = build_norm(norm, d_model, bias=bias, eps=norm_eps)
        self.attention = MultiHeadAttention(
            d_model=d_model,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            scale=scale,
            dropout=dropout,
            bias=bias,
        )
        self.feed_forward_norm = build_norm(norm, d_model, bias=bias, eps=norm_eps)
        self.feed_forward = FeedForward(
            d_model=d_model, d_ff=d_ff or 4 * d_model, activation=activation, bias=bias, dropout=inner_dropout
        )
        self.dropout = Dropout(dropout)

    def compute(  # type: ignore[override]  # its options by name
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        position_bias: Tensor | None = None,
        rotary: Rotary | None = None,
        cache: LayerCache | None = None,
        packing: Packing | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """x (batch, time, d_model) -> the same shape; the options are those of MultiHeadAttention.

        With places (batch, n) the output is what stands there: (batch, n, d_model). The rest is then not computed,
        unless there are options besides a mask, or a recorder, which wants all queries.
        """
        y = self.attention_norm(x) if self.pre_norm else x
        others = (position_bias, rotary, cache, self.attention.recorder)
        if places is not None and not causal and all(option is None for option in others):
            mask = None if mask is None else take_queries(mask, places)
            x, attended = take(x, places), self.attention(take(y, places), y, mask=mask)  # (batch, n, d_model)
        else:
            attended = self.attention(
                y,
                mask=mask,
                causal=causal,
                position_bias=position_bias,
                rotary=rotary,
                cache=cache,
                packing=packing,
            )
            if places is not None:
                x, attended = take(x, places), take(attended, places)  # (batch, n, d_model)
        if self.pre_norm:
            x = x + self.dropout(attended)
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.dropout(attended))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class DecoderBlock(Recomputable):
    """Causal self-attention, attention over an encoder's output, then feed-forward (Vaswani et al. 2017, 3.1).

    The options are those of EncoderBlock.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        scale: float | None = None,
        d_ff: int | None = None,
        dropout: float = 0.0,
        inner_dropout: float = 0.0,
        activation: ActivationName = "gelu",
        norm: NormName = "layer_norm",
        pre_norm: bool = True,
        bias: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        build_attention = partial(
            MultiHeadAttention,
            d_model=d_model,
            num_heads=num_heads,
            num_kv_heads=num_kv_heads,
            head_dim=head_dim,
            scale=scale,
            dropout=dropout,
            bias=bias,
        )
        self.attention_norm = build_norm(norm, d_model, bias=bias, eps=norm_eps)
        self.attention = build_attention()
        self.cross_attention_norm = build_norm(norm, d_model, bias=bias, eps=norm_eps)
        self.cross_attention = build_attention()
        self.feed_forward_norm = build_norm(norm, d_model, bias=bias, eps=norm_eps)
        self.feed_forward = FeedForward(
            d_model=d_model, d_ff=d_ff or 4 * d_model, activation=activation, bias=bias, dropout=inner_dropout
        )
        self.dropout = Dropout(dropout)

    def compute(  # type: ignore[override]  # its options by name
        self,
        x: Tensor,
        context: Tensor,
        *,
        mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        rotary: Rotary | None = None,
        cache: LayerCache | None = None,
        context_cache: LayerCache | None = None,
        packing: Packing | None = None,
        context_packing: Packing | None = None,
    ) -> Tensor:
        """x (batch, time, d_model) and context (batch, keys, d_model) -> the shape of x.

        mask, position_bias, rotary and cache belong to the self-attention, which is always causal; context_mask and
        context_cache to the attention over the context. The packings are those of MultiHeadAttention.
        """

        def attend(y: Tensor) -> Tensor:
            return self.attention(
                y, mask=mask, causal=True, position_bias=position_bias, rotary=rotary, cache=cache, packing=packing
            )

        def attend_context(y: Tensor) -> Tensor:
            return self.cross_attention(
                y,
                context,
                mask=context_mask,
                cache=context_cache,
                packing=packing,
                context_packing=context_packing,
            )

        if self.pre_norm:
            x = x + self.dropout(attend(self.attention_norm(x)))
            x = x + self.dropout(attend_context(self.cross_attention_norm(x)))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.dropout(attend(x)))
        x = self.cross_attention_norm(x + self.dropout(attend_context(x)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
