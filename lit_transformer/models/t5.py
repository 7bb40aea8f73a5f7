"""T5: an encoder-decoder with relative positions (Raffel et al. 2020), and its version 1.1."""

from torch import Tensor, nn

from lit_transformer.config.models import T5Config
from lit_transformer.models.base import known_vocabulary
from lit_transformer.models.seq2seq import Seq2Seq, over_queries
from lit_transformer.nn.cache import DecoderCache
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.initialisation import initialise_mesh
from lit_transformer.nn.packing import packed, packing_of, unpacked
from lit_transformer.nn.relative_positions import RelativePositionBias


class T5(Seq2Seq):
    """The paper's network: one bias of positions for each stack, attention without scale, dropout in many places.

    Dropout also acts inside the feed-forward layers and on what leaves a stack. Tied embeddings, drawn with standard
    deviation 1, make the hidden states smaller by sqrt(d_model) before the output layer; an own output layer does not.
    """

    config: T5Config

    def __init__(self, config: T5Config) -> None:
        vocab_size = known_vocabulary(config)
        super().__init__(config, head_dim=config.head_dim, scale=1.0, inner_dropout=config.dropout)
        self.token_embedding = nn.Embedding(vocab_size, config.d_model)
        self.encoder_bias, self.decoder_bias = (
            RelativePositionBias(
                num_heads=config.num_heads,
                num_buckets=config.relative_buckets,
                max_distance=config.relative_max_distance,
                bidirectional=bidirectional,
            )
            for bidirectional in (True, False)
        )
        self.dropout = Dropout(config.dropout)
        self.head = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)
        initialise_mesh(self, d_model=config.d_model)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the output layer, (vocab_size, d_model)."""
        return self.token_embedding.weight if self.head is None else self.head.weight

    def encode(self, inputs: Tensor, *, input_mask: Tensor | None = None) -> Tensor:
        time, packing = inputs.shape[1], packing_of(input_mask, self.config.d_model)
        x = packed(self.token_embedding(inputs), packing)  # (batch, time, d_model), or (1, tokens, d_model)
        x, bias = self.dropout(x), self.encoder_bias(time, time)  # (1, heads, time, time)
        for block in self.encoder_blocks:
            x = block(x, mask=over_queries(input_mask), position_bias=bias, packing=packing)
        return unpacked(self.dropout(self.encoder_norm(x)), packing)  # (batch, time, d_model)

    def decode(
        self,
        decoder_inputs: Tensor,
        memory: Tensor,
        *,
        memory_mask: Tensor | None = None,
        decoder_mask: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        time = decoder_inputs.shape[1]
        end = time + (cache.length if cache is not None else 0)
        packing = packing_of(decoder_mask, self.config.d_model)
        memory_packing = packing_of(memory_mask, self.config.d_model) if cache is None else None
        x = packed(self.token_embedding(decoder_inputs), packing)  # (batch, target_time, d_model), or (1, tokens, ...)
        x, memory = self.dropout(x), packed(memory, memory_packing)
        bias = self.decoder_bias(time, end)  # (1, heads, target_time, all target tokens)
        for index, block in enumerate(self.decoder_blocks):
            x = block(
                x,
                memory,
                context_mask=over_queries(memory_mask),
                position_bias=bias,
                cache=cache.self_attention.layers[index] if cache is not None else None,
                context_cache=cache.cross_attention.layers[index] if cache is not None else None,
                packing=packing,
                context_packing=memory_packing,
            )
        x = unpacked(self.dropout(self.decoder_norm(x)), packing)  # (batch, target_time, d_model)
        return x if self.head is not None else x * self.config.d_model**-0.5
