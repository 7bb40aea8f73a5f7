"""Training tokens/s of our GPT beside transformers' GPT-2 of the same size, alternating in one process.

`python tests/benchmarks/gpt_huggingface.py` prints a table and one line of JSON. Both networks are float32, with fused
AdamW and equal dropout in the same places, and take the same step: forward, loss, backward, update, gradients to None.
A pair is a few steps of ours and the same number of theirs in random order; the ratio is the median over pairs, because
a machine's speed drifts by more than the networks differ.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lit_transformer.config.schema import GPTConfig, OptimizerConfig
from lit_transformer.models.gpt import GPT
from lit_transformer.optim import build_optimizer

BATCH, CONTEXT, VOCABULARY, WIDTH, LAYERS, HEADS, THREADS = 8, 256, 8192, 256, 4, 4, 2
REQUIRED = {0.0: 1.05, 0.1: 1.2}
"""Dropout on both -> our tokens/s over theirs, at least."""

Row = dict[str, float]


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
) -> Callable[[], float]:
    """One training step on ids drawn once; gives the loss."""
    torch.manual_seed(0)
    model, loss = make(dropout)
    optimizer = build_optimizer(model.named_parameters(), OptimizerConfig(lr=1e-4))
    ids = torch.randint(VOCABULARY, (BATCH, CONTEXT + 1))
    run = torch.compile(loss) if compiled else loss

    def step() -> float:
        value = run(ids)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value.item()

    return step


def compare(dropout: float, compiled: bool, pairs: int, steps: int) -> Row:
    """Tokens/s of both, and the median over pairs of ours / theirs."""
    both = {"ours": make_step(our_loss, dropout, compiled), "theirs": make_step(their_loss, dropout, compiled)}
    first = {name: step() for name, step in both.items()}
    if max(first.values()) - min(first.values()) > 0.2:
        raise RuntimeError(f"the first losses differ, so the networks do different work: {first}")
    for step in both.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in both}
    order, shuffle = list(both), random.Random(0)
    for _ in range(pairs):
        shuffle.shuffle(order)
        for name in order:
            start = time.perf_counter()
            for _ in range(steps):
                both[name]()
            seconds[name].append((time.perf_counter() - start) / steps)
    ratios = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["theirs"], strict=True)]
    tokens = {name: BATCH * CONTEXT / statistics.median(values) for name, values in seconds.items()}
    return {**tokens, "ratio": statistics.median(ratios), "required": REQUIRED[dropout]}


def measure(*, pairs: int = 8, steps: int = 2) -> dict[str, Row]:
    """All four comparisons: name -> ours and theirs (tokens/s), ratio, required; about 3 minutes on 2 cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        return {
            f"gpt {'compiled' if compiled else 'eager'}, dropout {dropout:g}": compare(dropout, compiled, pairs, steps)
            for compiled in (False, True)
            for dropout in REQUIRED
        }
    finally:
        torch.set_num_threads(threads)


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    rows = measure(pairs=options.pairs, steps=options.steps)
    print(f"{'training tokens/s':<28}{'ours':>8}{'theirs':>8}{'ratio':>8}{'required':>10}")
    for name, row in rows.items():
        print(f"{name:<28}{row['ours']:>8.0f}{row['theirs']:>8.0f}{row['ratio']:>8.2f}{row['required']:>10.2f}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
