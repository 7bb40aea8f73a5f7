"""How much each head matters: by the gradient of its mask, and by the loss without it (Michel, Levy, Neubig 2019)."""

import torch
from torch import Tensor

from lit_transformer.analysis.subject import Head, Subject
from lit_transformer.nn.head_masks import mask_heads
from lit_transformer.tasks.base import inputs_of


def gradient_scores(subject: Subject) -> dict[Head, float]:
    """Expected absolute sensitivity of the loss to each head's mask (section 4), in nats for each target.

    E |dL(x) / d mask| over the rows x of the batches: L(x) is the loss summed over a row's targets, and the sum over
    rows is divided by the number of targets, as the loss itself is. The paper also divides by the scores' norm in each
    layer; these are as they come, so that they compare heads of different layers and with the loss.
    """
    totals: dict[str, Tensor] = {}
    count = 0.0
    for batch in subject.batches:
        inputs = inputs_of(batch)
        rows = len(inputs["inputs"])
        masks = {}
        for layer, name in subject.layers.items():
            heads = len(subject.heads_of(layer))
            masks[name] = torch.ones(rows, heads, device=subject.task.device, requires_grad=True)  # a mask of each row
        with mask_heads(subject.body, masks):
            sums = subject.task.evaluation_sums(inputs, "val")
        found = torch.autograd.grad(sums["loss"], list(masks.values()))
        for name, gradient in zip(masks, found, strict=True):
            scores = gradient.abs().sum(dim=0).cpu().double()  # (heads,)
            totals[name] = totals[name] + scores if name in totals else scores
        count += float(sums["count"])
        subject.advance()
    return {
        head: score / max(count, 1.0)
        for layer, name in subject.layers.items()
        for head, score in zip(subject.heads_of(layer), totals[name].tolist(), strict=True)
    }


def removal_scores(subject: Subject) -> dict[Head, float]:
    """How much larger the loss is without each head, in nats for each target; negative where it is smaller."""
    whole = subject.loss()
    return {head: subject.loss([head]) - whole for head in subject.heads}
