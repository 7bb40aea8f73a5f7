"""What a user would take in place of our networks, of the same shape; each is given our batch.

Peers are imported when they are built: one that is not installed is a row without a ratio.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GLMConfig, GPTConfig, T5Config

Batch = dict[str, Tensor]
Loss = Callable[[Batch], Tensor]


def their_gpt(config: GPTConfig) -> tuple[nn.Module, Loss]:
    """transformers' GPT-2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=config.vocab_size, n_positions=config.context_length, n_embd=config.d_model,
                   n_layer=config.num_layers, n_head=config.num_heads, embd_pdrop=config.dropout,
                   attn_pdrop=config.dropout, resid_pdrop=config.dropout, bos_token_id=0, eos_token_id=0)
    ).train()  # fmt: skip

    def loss(batch: Batch) -> Tensor:
        # they shift the labels themselves; given so, both predict the same targets from the same inputs
        inputs, targets = batch["inputs"], batch["targets"]
        return model(input_ids=inputs, shift_labels=targets, labels=targets, use_cache=False).loss

    return model, loss


def their_bert(config: BertConfig | GLMConfig) -> tuple[nn.Module, Loss]:
    """transformers' BERT, whose output layer works at every place."""
    model = _bert(config)

    def loss(batch: Batch) -> Tensor:
        return model(input_ids=batch["inputs"], labels=_everywhere(batch)).loss

    return model, loss


def their_glm(config: GLMConfig) -> tuple[nn.Module, Loss]:
    """The same under a mask that lets all see the prefix and none a later place."""
    model = _bert(config)

    def loss(batch: Batch) -> Tensor:
        time = batch["inputs"].shape[1]
        places = torch.arange(time, device=batch["inputs"].device)
        inside = places < batch["prefix_length"][:, None]  # (rows, time)
        mask = (inside[:, None] | (places <= places[:, None]))[:, None]  # (rows, 1, time, time)
        added = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.bfloat16).min)
        return model(input_ids=batch["inputs"], attention_mask=added, labels=_everywhere(batch)).loss

    return model, loss


def _bert(config: BertConfig | GLMConfig) -> nn.Module:
    from transformers import BertConfig as PeerConfig
    from transformers import BertForMaskedLM

    return BertForMaskedLM(
        PeerConfig(vocab_size=config.vocab_size, max_position_embeddings=config.context_length,
                   hidden_size=config.d_model, num_hidden_layers=config.num_layers,
                   num_attention_heads=config.num_heads, intermediate_size=4 * config.d_model,
                   hidden_dropout_prob=config.dropout, attention_probs_dropout_prob=config.dropout)
    ).train()  # fmt: skip


def _everywhere(batch: Batch) -> Tensor:
    labels = torch.full_like(batch["inputs"], -100)
    return labels.scatter(1, batch["target_positions"], batch["targets"])


def their_t5(config: T5Config) -> tuple[nn.Module, Loss]:
    """transformers' T5 v1.0: tied, relu."""
    from transformers import T5Config as PeerConfig
    from transformers import T5ForConditionalGeneration

    model = T5ForConditionalGeneration(
        PeerConfig(vocab_size=config.vocab_size, d_model=config.d_model, d_kv=config.d_model // config.num_heads,
                   d_ff=config.d_ff, num_layers=config.num_layers, num_heads=config.num_heads,
                   dropout_rate=config.dropout, pad_token_id=0, decoder_start_token_id=0)
    ).train()  # fmt: skip

    def loss(batch: Batch) -> Tensor:
        given: dict[str, Any] = {"decoder_input_ids": batch["decoder_inputs"], "labels": batch["targets"]}
        return model(input_ids=batch["inputs"], use_cache=False, **given).loss

    return model, loss


class Tutorial(nn.Module):
    """torch.nn.Transformer with embeddings, sines and an output layer that share their weights."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        assert config.vocab_size is not None and config.d_ff is not None
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.transformer = nn.Transformer(
            d_model=config.d_model, nhead=config.num_heads, num_encoder_layers=config.num_layers,
            num_decoder_layers=config.num_layers, dim_feedforward=config.d_ff, dropout=config.dropout,
            batch_first=True,
        )  # fmt: skip
        places = torch.arange(config.context_length)[:, None]  # (time, 1)
        angles = places * 10_000.0 ** -(torch.arange(0, config.d_model, 2) / config.d_model)
        self.register_buffer("sines", torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1))

    def forward(self, inputs: Tensor, decoder_inputs: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(decoder_inputs.shape[1], device=inputs.device)
        source, target = (
            self.dropout(self.embedding(ids) * self.embedding.embedding_dim**0.5 + self.sines[: ids.shape[1]])
            for ids in (inputs, decoder_inputs)
        )
        hidden = self.transformer(source, target, tgt_mask=mask, tgt_is_causal=True)  # (rows, time, d_model)
        return F.linear(hidden, self.embedding.weight)


def tutorial(config: EncoderDecoderConfig) -> tuple[nn.Module, Loss]:
    """The tutorial architecture."""
    model = Tutorial(config).train()

    def loss(batch: Batch) -> Tensor:
        logits = model(batch["inputs"], batch["decoder_inputs"])  # (rows, time, vocab_size)
        return F.cross_entropy(logits.flatten(0, 1).float(), batch["targets"].flatten())

    return model, loss


def their_unet(tiny: bool) -> tuple[nn.Module, Loss]:
    """smp's U-Net of VGG's widths, on images padded to a multiple of 32."""
    import segmentation_models_pytorch as smp

    widths = (64, 32, 16, 8, 8) if tiny else (512, 256, 128, 64, 32)
    encoder = "vgg11_bn" if tiny else "vgg13_bn"
    model = smp.Unet(encoder, encoder_weights=None, decoder_channels=widths, classes=2).train()

    def loss(batch: Batch) -> Tensor:
        side = batch["images"].shape[-1]
        more = -side % 32
        images = F.pad(batch["images"], (0, more, 0, more)).contiguous(memory_format=torch.channels_last)
        return F.cross_entropy(model(images)[..., :side, :side].float(), batch["masks"])

    return model, loss
