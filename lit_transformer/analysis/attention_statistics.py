"""Where each head looks: how spread out its attention is, and how far away."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_transformer.analysis.subject import Head, Subject
from lit_transformer.nn.attention_recording import observe_attention
from lit_transformer.nn.losses import IGNORED
from lit_transformer.tasks.base import Batch, inputs_of


@dataclass(frozen=True)
class Look:
    """Means over all queries of tokens, in all rows."""

    entropy: float
    """Of the attention weights, in nats: 0 for one key alone, log(T) for T keys alike."""
    distance: float | None
    """Tokens between query and key, weighed by attention; None between two texts, where there is no distance."""


def attention_statistics(subject: Subject) -> dict[Head, Look]:
    """Entropy and distance of every head over the batches."""
    names = {name: layer for layer, name in subject.layers.items()}
    totals: dict[str, Tensor] = {}  # of a layer: (heads, 2)
    counts: dict[str, float] = {}
    for batch in subject.batches:
        inputs = inputs_of(batch)

        def see(name: str, weights: Tensor, inputs: Batch = inputs) -> None:
            layer = names[name]
            real = real_queries(inputs, layer.partition("/")[0], weights)
            found = head_sums(weights, real, distances(inputs, layer.partition("/")[0], weights)).cpu()
            totals[layer] = totals[layer] + found if layer in totals else found
            counts[layer] = counts.get(layer, 0.0) + float(real.sum())

        with torch.no_grad(), observe_attention(subject.body, see):
            subject.task.evaluation_sums(inputs, "val")
        subject.advance()
    looks = {}
    for layer in subject.layers:
        means = (totals[layer] / max(counts[layer], 1.0)).tolist()
        for head, (entropy, distance) in zip(subject.heads_of(layer), means, strict=True):
            looks[head] = Look(entropy, None if head.attention == "cross" else distance)
    return looks


def head_sums(weights: Tensor, real: Tensor, apart: Tensor) -> Tensor:
    """Entropy and distance of each head, summed over the real queries: (heads, 2), float64.

    weights (sequences, heads, queries, keys), real (sequences, queries), apart (sequences or 1, queries, keys).
    """
    entropy = torch.special.entr(weights).sum(dim=-1)  # (sequences, heads, queries)
    distance = (weights * apart[:, None]).sum(dim=-1)  # (sequences, heads, queries)
    kept = torch.stack((entropy, distance), dim=-1) * real[:, None, :, None]  # (sequences, heads, queries, 2)
    return kept.sum(dim=2).double().sum(dim=0)


def distances(inputs: Batch, attention: str, weights: Tensor) -> Tensor:
    """Tokens between each query and key (sequences or 1, queries, keys), by their positions where a batch has some.

    A GLM's blanks are filled behind the text, and stand where the blank is.
    """
    if attention == "cross":
        return weights.new_zeros(1, *weights.shape[-2:])
    if "positions" in inputs:
        positions = inputs["positions"].flatten(0, -2)  # (sequences, time)
    else:
        positions = torch.arange(weights.shape[-1], device=weights.device)[None]  # (1, time)
    return (positions[:, :, None] - positions[:, None, :]).abs().to(weights.dtype)


def real_queries(inputs: Batch, attention: str, weights: Tensor) -> Tensor:
    """Which queries are of tokens, in rows in which something is predicted: (sequences, queries)."""
    targets, queries = inputs["targets"], torch.arange(weights.shape[2], device=weights.device)  # (queries,)
    per_row = (targets != IGNORED).flatten(1).any(dim=1) if targets.ndim > 1 else targets != IGNORED  # (rows,)
    if attention == "encoder":
        texts = inputs["inputs"].flatten(0, -2)  # (sequences, queries)
        real = inputs["input_mask"].flatten(0, -2) if "input_mask" in inputs else torch.ones_like(texts) > 0
    elif "decoder_inputs" in inputs:
        real = (targets != IGNORED).flatten(0, -2)  # a target follows each token
    elif "ends" in inputs:
        real = queries <= inputs["ends"].flatten()[:, None]
    else:  # tokens end where the last one is predicted from
        places = inputs.get("target_positions", queries)
        last = torch.where(targets != IGNORED, places, -1).amax(dim=-1)  # (rows, ...)
        real = queries <= last.flatten()[:, None]
    real = real.repeat_interleave(len(weights) // len(real), dim=0)  # a prompt is read once for each answer
    return real & per_row.repeat_interleave(len(weights) // len(per_row))[:, None]
