"""Training tokens/s of our GPT beside transformers' GPT-2 of the same size, alternating in one process.

`python tests/benchmarks/gpt_huggingface.py` prints a table and one line of JSON. Both networks are float32, with fused
AdamW and equal dropout in the same places, and take the same step: forward, loss, backward, update, gradients to None;
see alternating.py.
"""

from collections.abc import Callable

import torch
from alternating import Row, Step, compare, main, training_step, with_threads
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lit_transformer.config.schema import GPTConfig
from lit_transformer.models.gpt import GPT

BATCH, CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS = 8, 256, 8192, 256, 4, 4
REQUIRED = {0.0: 1.05, 0.1: 1.2}
"""Dropout on both -> our tokens/s over theirs, at least."""


def our_loss(dropout: float) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    """Our network and its mean loss on ids (batch, time + 1)."""
    config = GPTConfig(
        vocab_size=VOCABULARY,
        context_length=CONTEXT,
        d_model=WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        dropout=dropout,
    )
    model = GPT(config).train()

    def loss(ids: Tensor) -> Tensor:
        total, count = model.loss(ids[:, :-1], ids[:, 1:])
        return total / count

    return model, loss


def their_loss(dropout: float) -> tuple[torch.nn.Module, Callable[[Tensor], Tensor]]:
    """Their network and its mean loss on the same ids."""
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        resid_pdrop=dropout,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).train()

    def loss(ids: Tensor) -> Tensor:
        # They shift the labels themselves; given so, both predict the same CONTEXT targets from the same inputs.
        result = model(input_ids=ids[:, :-1], shift_labels=ids[:, 1:].contiguous(), labels=ids[:, 1:], use_cache=False)
        assert isinstance(result.loss, Tensor)
        return result.loss

    return model, loss


def make_step(
    make: Callable[[float], tuple[torch.nn.Module, Callable[[Tensor], Tensor]]], dropout: float, compiled: bool
) -> Step:
    """One training step on ids drawn once; gives the loss."""
    torch.manual_seed(0)
    model, loss = make(dropout)
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1))
    run = torch.compile(loss) if compiled else loss
    return training_step(model, lambda: run(ids))


def measure(*, pairs: int = 8, steps: int = 2) -> dict[str, Row]:
    """All four comparisons: name -> ours and theirs (tokens/s), ratio, required; about 3 minutes on 2 cores."""
    return with_threads(
        lambda: {
            f"gpt {'compiled' if compiled else 'eager'}, dropout {dropout:g}": compare(
                {"ours": make_step(our_loss, dropout, compiled), "theirs": make_step(their_loss, dropout, compiled)},
                tokens=BATCH * CONTEXT,
                required=required,
                pairs=pairs,
                steps=steps,
            )
            for compiled in (False, True)
            for dropout, required in REQUIRED.items()
        }
    )


if __name__ == "__main__":
    main(measure, __doc__)
