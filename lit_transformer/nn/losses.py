"""Losses as (sum, count), so that one division serves accumulated micro-batches and several ranks."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

IGNORED = -100
"""A target where there is nothing to predict."""

CHUNK_BYTES = {"cpu": 2**23, "cuda": 2**28}
"""Size of the float32 logits that `linear_cross_entropy` holds at once, by device: on a CPU about its cache."""


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy in nats (float32) of logits (..., classes) and the number of targets (...) that counted.

    Targets of -100 are ignored. label_smoothing spreads that share of each target evenly over all classes (Szegedy et
    al. 2016, section 7).
    """
    rows = logits.flatten(0, -2)  # (targets, classes)
    if rows.element_size() < 4:
        rows = rows.float()  # a sum over thousands of targets is lost in 8 bits of mantissa
    loss = F.cross_entropy(
        rows, targets.flatten(), reduction="sum", ignore_index=IGNORED, label_smoothing=label_smoothing
    )
    return loss, (targets != IGNORED).sum()


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """`cross_entropy(hidden @ weight.T, targets)` without ever holding all logits: the loss to train with.

    hidden (..., d_model), weight (classes, d_model), targets (...). A few rows at a time go through logits, loss and
    gradient, so that they stay in the cache. Differentiable once, in hidden and weight.
    """
    rows = hidden.flatten(0, -2)  # (targets, d_model)
    if torch.is_autocast_enabled(rows.device.type):
        rows = rows.to(torch.get_autocast_dtype(rows.device.type))
    loss = _LinearCrossEntropy.apply(rows, weight, targets.flatten(), label_smoothing, torch.is_grad_enabled())
    return loss, (targets != IGNORED).sum()


class _LinearCrossEntropy(torch.autograd.Function):
    """The gradient is linear in that of the sum, so the forward pass computes it for 1 and the backward pass scales it."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float, needs_grad: bool
    ) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            needs_grad = needs_grad and any(ctx.needs_input_grad)
            total, hidden_grad, weight_grad = _chunked(hidden, weight, targets, label_smoothing, needs_grad)
        ctx.save_for_backward(hidden_grad, weight_grad)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_grad, weight_grad = ctx.saved_tensors
        return hidden_grad * grads[0].to(hidden_grad.dtype), weight_grad * grads[0], None, None, None


def _chunked(
    hidden: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float, needs_grad: bool
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Summed loss, and its gradients with respect to hidden and to weight."""
    classes = weight.shape[0]
    matrix = weight.to(hidden.dtype)
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    hidden_grad = torch.empty_like(hidden) if needs_grad else None
    weight_grad = torch.zeros_like(matrix) if needs_grad else None
    size = max(1, CHUNK_BYTES.get(hidden.device.type, 2**28) // (4 * classes))
    kept = (targets != IGNORED)[:, None]  # (targets, 1)
    labels = targets[:, None].clamp(min=0)  # (targets, 1)
    for start in range(0, len(hidden), size):
        part = slice(start, start + size)
        log_probabilities = (hidden[part] @ matrix.T).float().log_softmax(dim=-1)  # (size, classes)
        loss = -(1 - label_smoothing) * log_probabilities.gather(1, labels[part])  # (size, 1)
        if label_smoothing:
            loss = loss - label_smoothing * log_probabilities.mean(dim=-1, keepdim=True)
        total += (loss * kept[part]).sum()
        if hidden_grad is not None and weight_grad is not None:
            gradient = log_probabilities.exp_()
            if label_smoothing:
                gradient -= label_smoothing / classes
            gradient.scatter_add_(1, labels[part], gradient.new_full((len(gradient), 1), label_smoothing - 1))
            gradient = gradient.mul_(kept[part]).to(hidden.dtype)
            torch.mm(gradient, matrix, out=hidden_grad[part])
            weight_grad.addmm_(gradient.T, hidden[part])
    return total, hidden_grad, weight_grad
