"""What every encoder-decoder shares: a source is encoded once, and the decoder attends to it token by token."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from lit_transformer.config.models import EncoderDecoderConfig, T5Config
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.stack import build_last_norm
from lit_transformer.nn.blocks import DecoderBlock, EncoderBlock
from lit_transformer.nn.cache import DecoderCache
from lit_transformer.nn.packing import can_pack, until_last_target


class Seq2Seq(TextNetwork):
    """Source ids (batch, time) and target ids (batch, target_time) -> logits (batch, target_time, vocab_size).

    A subclass gives `encode` and `decode`, which put tokens and positions around the blocks. Which ids start and end a
    target is for whoever makes the batches; no logit is shifted.
    """

    config: EncoderDecoderConfig | T5Config

    def __init__(self, config: EncoderDecoderConfig | T5Config, **blocks: Any) -> None:
        """blocks: options of EncoderBlock beyond those that every Transformer's settings have."""
        super().__init__()
        self.config = config
        blocks |= {
            "d_model": config.d_model,
            "num_heads": config.num_heads,
            "d_ff": config.d_ff,
            "dropout": config.dropout,
            "activation": config.activation,
            "norm": config.norm,
            "pre_norm": config.norm_position == "pre",
            "bias": config.bias,
            "norm_eps": config.norm_eps,
        }
        num_encoder_layers = config.num_encoder_layers or config.num_layers
        self.num_decoder_layers = config.num_decoder_layers or config.num_layers
        self.encoder_blocks = nn.ModuleList(EncoderBlock(**blocks) for _ in range(num_encoder_layers))
        self.decoder_blocks = nn.ModuleList(DecoderBlock(**blocks) for _ in range(self.num_decoder_layers))
        self.encoder_norm, self.decoder_norm = build_last_norm(config), build_last_norm(config)

    @abstractmethod
    def encode(self, inputs: Tensor, *, input_mask: Tensor | None = None) -> Tensor:
        """Source ids (batch, time), input_mask the same shape, True = a token -> memory (batch, time, d_model)."""

    @abstractmethod
    def decode(
        self,
        decoder_inputs: Tensor,
        memory: Tensor,
        *,
        memory_mask: Tensor | None = None,
        decoder_mask: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Target ids (batch, target_time) and `encode`'s memory -> what the output layer reads, d_model wide.

        memory_mask (batch, time) is `encode`'s input_mask; decoder_mask (batch, target_time) is False where the rest of
        a row is padding, whose output may then be anything that has no gradient. With a cache, decoder_inputs are the
        tokens after those that it holds, and memory is read by the first call alone.
        """

    def hidden_states(  # type: ignore[override]  # its options by name
        self,
        inputs: Tensor,
        *,
        decoder_inputs: Tensor,
        input_mask: Tensor | None = None,
        decoder_mask: Tensor | None = None,
    ) -> Tensor:
        """What the output layer reads: (batch, target_time, d_model)."""
        memory = self.encode(inputs, input_mask=input_mask)  # (batch, time, d_model)
        return self.decode(decoder_inputs, memory, memory_mask=input_mask, decoder_mask=decoder_mask)

    def loss(
        self, inputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, **how: Any
    ) -> tuple[Tensor, Tensor]:
        """That of TextNetwork, with nothing computed behind a row's last target where that can be left out."""
        decoder_mask = until_last_target(targets) if can_pack(targets) else None
        return super().loss(inputs, targets, label_smoothing=label_smoothing, decoder_mask=decoder_mask, **how)

    def forward(self, inputs: Tensor, decoder_inputs: Tensor, *, input_mask: Tensor | None = None) -> Tensor:
        """Logits (batch, target_time, vocab_size)."""
        return self.logits(self.hidden_states(inputs, decoder_inputs=decoder_inputs, input_mask=input_mask))

    def new_cache(self) -> DecoderCache:
        """An empty cache for generation; it holds context_length target tokens."""
        return DecoderCache(self.num_decoder_layers, self.config.context_length)

    def dummy_batch(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """One full training row as `loss` takes it, for counting FLOPs."""
        ids = torch.zeros(1, self.config.context_length, dtype=torch.long)  # (batch, time)
        return {"inputs": ids, "decoder_inputs": ids, "targets": ids}


def over_queries(mask: Tensor | None) -> Tensor | None:
    """Which keys are tokens (batch, keys) -> the mask for attention to them (batch, 1, 1, keys).

    A row without any token, which fills up a batch, sees all of its padding: a softmax over nothing may be NaN.
    """
    return None if mask is None else (mask | ~mask.any(-1, keepdim=True))[:, None, None]
