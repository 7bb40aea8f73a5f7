"""How likely given texts are."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lit_transformer.decoding.batches import in_batches, pad
from lit_transformer.decoding.guards import evaluating, require
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.nn.losses import CHUNK_BYTES, IGNORED

Pair = tuple[Sequence[int], Sequence[int]]
"""A prompt (the source of an encoder-decoder) and what follows it, as ids."""


def sequence_log_probability(network: TextNetwork, inputs: Tensor, targets: Tensor, **how: Tensor) -> Tensor:
    """Sum of the log-probabilities of each row's targets in nats, float32: (rows).

    The arguments are those of `network.loss`: targets (rows, time) are -100 where nothing counts.
    """
    with evaluating(network):
        hidden = network.target_hidden(inputs, **how)  # (rows, time, d_model)
        counted = targets != IGNORED  # (rows, time)
        wanted, rows = targets[counted], counted.nonzero()[:, 0]  # (targets,)
        size = max(1, CHUNK_BYTES.get(hidden.device.type, CHUNK_BYTES["cpu"]) // (4 * len(network.output_weight)))
        sums = torch.zeros(len(targets), device=hidden.device)
        for chosen, row, ids in zip(*(x.split(size) for x in (hidden[counted], rows, wanted)), strict=True):
            values = network.logits(chosen).float().log_softmax(dim=-1)  # (chunk, vocab_size)
            sums.index_add_(0, row, values.gather(1, ids[:, None])[:, 0])
        return sums


def score_pairs(
    network: TextNetwork,
    pairs: Sequence[Pair],
    *,
    max_tokens: int,
    start_token: int | None = None,
    pad_token: int = 0,
    prefix_lm: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Log-probability of each pair's second part after its first, in nats, in the order of pairs.

    A decoder-only network reads both as one row; an encoder-decoder reads the first as its source, and start_token and
    the second as its target. What should count besides, such as an end token, is in the second part. With prefix_lm
    the first part is a prefix, seen whole. max_tokens is that of a batch, as in `in_batches`. Raises UserError for an
    empty part, and for a pair longer than the context.
    """
    two_sided = isinstance(network, Seq2Seq)
    if two_sided and start_token is None:
        raise ValueError("an encoder-decoder needs start_token")
    room = network.config.context_length
    sizes = [max(len(a), len(b)) if two_sided else len(a) + len(b) - 1 for a, b in pairs]
    longest = max(sizes, default=0)
    empty = any(not len(part) for pair in pairs for part in pair)
    require(
        [
            (not empty, "text", "an empty prompt or continuation", "at least one token in each", "leave the row out"),
            (longest <= room, "text", f"{longest} tokens", f"context_length {room}", "cut the prompt"),
        ]
    )
    device = network.output_weight.device

    def work(batch: list[Pair]) -> list[float]:
        if two_sided:
            rows = _two_sided_batch(batch, start_token, pad_token)
        else:
            rows = _one_sided_batch(batch, pad_token)
            if prefix_lm:
                rows["prefix_length"] = torch.tensor([len(prompt) for prompt, _ in batch])  # (rows,)
        return sequence_log_probability(network, **{name: rows[name].to(device) for name in rows}).tolist()

    return in_batches(pairs, work, lengths=sizes, max_tokens=max_tokens, progress=progress)


def _one_sided_batch(pairs: list[Pair], pad_token: int) -> dict[str, Tensor]:
    inputs, _ = pad([[*prompt, *text][:-1] for prompt, text in pairs], pad_token)  # (rows, time)
    targets, _ = pad([[*[IGNORED] * (len(prompt) - 1), *text] for prompt, text in pairs], IGNORED)
    return {"inputs": inputs, "targets": targets}


def _two_sided_batch(pairs: list[Pair], start_token: int | None, pad_token: int) -> dict[str, Tensor]:
    inputs, input_mask = pad([prompt for prompt, _ in pairs], pad_token)  # (rows, time)
    assert start_token is not None
    decoder_inputs, _ = pad([[start_token, *text[:-1]] for _, text in pairs], pad_token)  # (rows, target_time)
    targets, _ = pad([text for _, text in pairs], IGNORED)
    return {"inputs": inputs, "input_mask": input_mask, "decoder_inputs": decoder_inputs, "targets": targets}
