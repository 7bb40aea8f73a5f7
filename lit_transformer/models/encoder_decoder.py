"""The Transformer of "Attention Is All You Need" (Vaswani et al. 2017)."""

from torch import Tensor, nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import EncoderDecoderConfig
from lit_transformer.models.base import known_vocabulary
from lit_transformer.models.seq2seq import Seq2Seq, over_queries
from lit_transformer.models.stack import build_positions
from lit_transformer.nn.cache import DecoderCache, new_positions
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.initialisation import initialise_xavier
from lit_transformer.nn.packing import packed, packing_of, unpacked


class EncoderDecoder(Seq2Seq):
    """The paper's network, with options: learned or rotary positions, pre-norm, embeddings of each side's own.

    Rotary positions turn queries and keys of self-attention alone: between source and target there is no distance.
    """

    config: EncoderDecoderConfig

    def __init__(self, config: EncoderDecoderConfig) -> None:
        vocab_size = known_vocabulary(config)
        super().__init__(config)
        self.token_embedding = nn.Embedding(vocab_size, config.d_model)
        self.source_embedding = None if config.share_embeddings else nn.Embedding(vocab_size, config.d_model)
        self.embedding_scale = config.d_model**0.5 if config.scale_embeddings else 1.0
        self.source_positions, self.rotary = build_positions(config)
        self.target_positions, _ = build_positions(config)
        self.dropout = Dropout(config.dropout)
        self.head = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)
        initialise_xavier(self)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the output layer, (vocab_size, d_model)."""
        return self.token_embedding.weight if self.head is None else self.head.weight

    def encode(self, inputs: Tensor, *, input_mask: Tensor | None = None) -> Tensor:
        positions, packing = self._positions(inputs), packing_of(input_mask, self.config.d_model)  # (1, time)
        x = (self.source_embedding or self.token_embedding)(inputs) * self.embedding_scale  # (batch, time, d_model)
        if self.source_positions is not None:
            x = x + self.source_positions(positions).to(x.dtype)
        x = self.dropout(packed(x, packing))  # (batch, time, d_model), or (1, tokens, d_model)
        rotary = self.rotary(positions) if self.rotary is not None else None
        for block in self.encoder_blocks:
            x = block(x, mask=over_queries(input_mask), rotary=rotary, packing=packing)
        return unpacked(self.encoder_norm(x), packing)  # (batch, time, d_model)

    def decode(
        self,
        decoder_inputs: Tensor,
        memory: Tensor,
        *,
        memory_mask: Tensor | None = None,
        decoder_mask: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        positions = self._positions(decoder_inputs, cache)  # (1, target_time)
        x = self.token_embedding(decoder_inputs) * self.embedding_scale  # (batch, target_time, d_model)
        if self.target_positions is not None:
            x = x + self.target_positions(positions).to(x.dtype)
        packing = packing_of(decoder_mask, self.config.d_model)
        memory_packing = packing_of(memory_mask, self.config.d_model) if cache is None else None
        x, memory = self.dropout(packed(x, packing)), packed(memory, memory_packing)
        rotary = self.rotary(positions) if self.rotary is not None else None
        for index, block in enumerate(self.decoder_blocks):
            x = block(
                x,
                memory,
                context_mask=over_queries(memory_mask),
                rotary=rotary,
                cache=cache.self_attention.layers[index] if cache is not None else None,
                context_cache=cache.cross_attention.layers[index] if cache is not None else None,
                packing=packing,
                context_packing=memory_packing,
            )
        return unpacked(self.decoder_norm(x), packing)  # (batch, target_time, d_model)

    def _positions(self, ids: Tensor, cache: DecoderCache | None = None) -> Tensor:
        end = ids.shape[1] + (cache.length if cache is not None else 0)
        if self.config.positions == "learned" and end > self.config.context_length:
            raise UserError(
                f"model.context_length: got a text of {end} tokens\n"
                f"  allowed  {self.config.context_length} tokens at most, with learned positions\n"
                "  fix      shorten the text, or train with a larger model.context_length or other model.positions"
            )
        return new_positions(ids.shape[1], cache, ids.device)
