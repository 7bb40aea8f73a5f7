"""Training tokens/s of our T5 and EncoderDecoder beside transformers' T5 and Marian, alternating in one process.

`python tests/benchmarks/seq2seq_huggingface.py` prints a table and one line of JSON. All networks are float32, eager,
with fused AdamW and equal dropout in the same places, and take the same step: forward, loss, backward, update,
gradients to None; see alternating.py. Tokens are those of both sides that are no padding.
"""

from collections.abc import Callable
from typing import Any

import torch
from alternating import Row, Step, main, training_step, with_threads
from alternating import compare as compare_steps
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel, T5ForConditionalGeneration
from transformers import T5Config as TheirT5Config

from lit_transformer.config.models import EncoderDecoderConfig, T5Config
from lit_transformer.models import build_model

BATCH, CONTEXT, VOCABULARY, WIDTH, INNER, LAYERS, HEADS = 16, 96, 8192, 256, 1024, 4, 4
PAD = VOCABULARY - 1
REQUIRED = {"t5": 1.2, "marian": 1.1}
"""Our tokens/s over theirs, at least."""
SHORTEST = 0.5
"""Length of the shortest row over that of the longest, where there is padding; about a quarter is padding then."""

Batch = dict[str, Tensor]
Loss = Callable[[Batch], Tensor]
SHAPE: dict[str, Any] = {"num_layers": LAYERS, "d_model": WIDTH, "num_heads": HEADS, "d_ff": INNER}


def our_loss(kind: str, dropout: float) -> tuple[nn.Module, Loss]:
    """Our network and its mean loss."""
    make = T5Config if kind == "t5" else EncoderDecoderConfig
    model = build_model(make(**SHAPE, vocab_size=VOCABULARY, context_length=CONTEXT, dropout=dropout)).train()

    def loss(batch: Batch) -> Tensor:
        total, count = model.loss(**batch)
        return total / count

    return model, loss


def their_loss(kind: str, dropout: float) -> tuple[nn.Module, Loss]:
    """Their network and its mean loss, which always wants a mask of the targets where there is one of the inputs."""
    model = (their_t5(dropout) if kind == "t5" else their_marian(dropout)).train()

    def loss(batch: Batch) -> Tensor:
        result = model(
            input_ids=batch["inputs"],
            attention_mask=batch["input_mask"].long() if "input_mask" in batch else None,
            decoder_input_ids=batch["decoder_inputs"],
            labels=batch["targets"],
            use_cache=False,
        )
        assert isinstance(result.loss, Tensor)
        return result.loss

    return model, loss


def their_t5(dropout: float) -> nn.Module:
    """T5 v1.0: tied, relu."""
    return T5ForConditionalGeneration(
        TheirT5Config(
            vocab_size=VOCABULARY,
            d_model=WIDTH,
            d_kv=WIDTH // HEADS,
            d_ff=INNER,
            num_layers=LAYERS,
            num_heads=HEADS,
            dropout_rate=dropout,
            pad_token_id=PAD,
            decoder_start_token_id=PAD,
        )
    )


def their_marian(dropout: float) -> nn.Module:
    """Post-norm, relu, tied and shared embeddings; dropout where the paper has it and in attention, as in ours."""
    return MarianMTModel(
        MarianConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=CONTEXT,
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            encoder_ffn_dim=INNER,
            decoder_ffn_dim=INNER,
            activation_function="relu",
            scale_embedding=True,
            dropout=dropout,
            attention_dropout=dropout,
            activation_dropout=0.0,
            init_std=WIDTH**-0.5,
            pad_token_id=PAD,
            decoder_start_token_id=PAD,
            eos_token_id=0,
        )
    )


def make_batch(padded: bool) -> Batch:
    """Random ids; with padding, rows of evenly spread lengths on both sides."""
    torch.manual_seed(0)
    shape = (BATCH, CONTEXT)
    inputs, decoder_inputs, targets = (torch.randint(PAD, shape) for _ in range(3))
    batch = {"inputs": inputs, "decoder_inputs": decoder_inputs, "targets": targets}
    if padded:
        lengths = torch.linspace(SHORTEST * CONTEXT, CONTEXT, BATCH).long()
        kept = torch.arange(CONTEXT) < lengths[:, None]  # (batch, time)
        batch["inputs"], batch["decoder_inputs"] = inputs.where(kept, PAD), decoder_inputs.where(kept, PAD)
        batch["targets"], batch["input_mask"] = targets.where(kept, -100), kept
    return batch


def make_step(make: Callable[[str, float], tuple[nn.Module, Loss]], kind: str, dropout: float, batch: Batch) -> Step:
    """One training step; gives the loss."""
    torch.manual_seed(0)
    model, loss = make(kind, dropout)
    return training_step(model, lambda: loss(batch))


def compare(kind: str, dropout: float, padded: bool, pairs: int, steps: int) -> Row:
    """Tokens/s of both, and the median over pairs of ours / theirs."""
    batch = make_batch(padded)
    both = {"ours": make_step(our_loss, kind, dropout, batch), "theirs": make_step(their_loss, kind, dropout, batch)}
    tokens = 2 * int((batch["targets"] != -100).sum())
    return compare_steps(both, tokens=tokens, required=REQUIRED[kind], pairs=pairs, steps=steps, apart=0.5)


def measure(*, pairs: int = 8, steps: int = 2) -> dict[str, Row]:
    """All comparisons: name -> ours and theirs (tokens/s), ratio, required; about 4 minutes on 2 cores."""
    return with_threads(
        lambda: {
            f"{kind}, dropout {dropout:g}, {'some' if padded else 'no'} padding": compare(
                kind, dropout, padded, pairs, steps
            )
            for kind in REQUIRED
            for dropout in (0.0, 0.1)
            for padded in (False, True)
        }
    )


if __name__ == "__main__":
    main(measure, __doc__)
