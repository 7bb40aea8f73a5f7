"""Losses as (sum, count), so that one division serves accumulated micro-batches and several ranks."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lit_transformer.nn.linear import product

IGNORED = -100
"""A target where there is nothing to predict."""

CHUNK_BYTES = {"cpu": 2**24, "cuda": 2**28}
"""Size of the float32 logits that `linear_cross_entropy` holds at once, by device: on a CPU about its cache."""


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy in nats (float32) of logits (..., classes) and the number of targets (...) that counted.

    Targets of -100 are ignored. label_smoothing spreads that share of each target evenly over all classes (Szegedy et
    al. 2016, section 7).
    """
    rows = logits.flatten(0, -2)  # (targets, classes)
    rows = rows.to(_at_least_float32(rows.dtype))  # a sum over thousands of targets is lost in 8 bits of mantissa
    loss = F.cross_entropy(
        rows, targets.flatten(), reduction="sum", ignore_index=IGNORED, label_smoothing=label_smoothing
    )
    return loss, (targets != IGNORED).sum()


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    target_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """`cross_entropy(hidden @ weight.T + bias, targets)` without ever holding all logits: the loss to train with.

    hidden (..., d_model), weight (classes, d_model), bias (classes), targets (...); target_weights (...), constants,
    multiply each target's loss and do not change the count. A few rows at a time go through logits, loss and gradient,
    so that they stay in the cache. Differentiable once, in hidden, weight and bias.
    """
    rows = hidden.flatten(0, -2)  # (targets, d_model)
    if torch.is_autocast_enabled(rows.device.type):
        rows = rows.to(torch.get_autocast_dtype(rows.device.type))
    factors = (targets != IGNORED).flatten()  # (targets,)
    if target_weights is not None:
        factors = factors * target_weights.detach().flatten()
    learned = (rows, weight) if bias is None else (rows, weight, bias)
    needs_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in learned)
    inputs = (rows, weight, bias, targets.flatten(), factors, label_smoothing, needs_grad)
    loss = _operator(*inputs)[0] if torch.compiler.is_compiling() else _Eager.apply(*inputs)
    return loss, (targets != IGNORED).sum()


def _chunked(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    factors: Tensor,
    label_smoothing: float,
    needs_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Summed loss and its gradients with respect to hidden, weight and bias, which are empty unless needed.

    Each target's loss counts by its factor, which is 0 where there is none. The gradient is linear in that of the sum,
    so it is computed for 1 at once, and the backward pass scales it.
    """
    precise, rows = _at_least_float32(hidden.dtype), len(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        matrix, offset = weight.to(hidden.dtype), None if bias is None else bias.to(hidden.dtype)
        total = torch.zeros((), dtype=precise, device=hidden.device)
        counted = factors.nonzero()[:, 0] if hidden.device.type == "cpu" else None  # a GPU would wait for the number
        if counted is not None:
            hidden, targets, factors = hidden[counted], targets[counted], factors[counted]
        hidden_grad = hidden.new_empty(len(hidden) if needs_grad else 0, hidden.shape[1])
        weight_grad = weight.new_zeros(len(weight) if needs_grad else 0, weight.shape[1], dtype=precise)
        bias_grad = weight.new_zeros(len(weight) if needs_grad and bias is not None else 0, dtype=precise)
        size = chunk_size(len(hidden), CHUNK_BYTES.get(hidden.device.type, 2**28) // (4 * len(weight)))
        for start in range(0, len(hidden), size):
            part = slice(start, start + size)
            logits = product(hidden[part], matrix, offset)  # (size, classes)
            losses, gradient = _loss_and_gradient(logits, targets[part], label_smoothing, needs_grad)
            factor = factors[part, None]  # (size, 1)
            total += (losses.where(factor != 0, 0.0) * factor).sum()
            if gradient is None:
                continue
            # Factors come in here, where rows are d_model wide, and not `classes` wide as in the gradient.
            hidden_grad[part] = product(gradient, matrix.T) * factor
            weighted = hidden[part] * factor.to(hidden.dtype)  # (size, d_model)
            if hidden.dtype == precise:
                weight_grad.addmm_(gradient.T, weighted, beta=min(start, 1))  # the first overwrites
            else:
                weight_grad += gradient.T @ weighted
            if offset is not None:
                bias_grad += gradient.T @ factor[:, 0].to(gradient.dtype)  # (classes,)
        if counted is not None and needs_grad:
            hidden_grad = hidden.new_zeros(rows, hidden.shape[1]).index_copy_(0, counted, hidden_grad)
    bias_grad = bias_grad.to(weight.dtype if bias is None else bias.dtype)
    return total, hidden_grad, weight_grad.to(weight.dtype), bias_grad


def chunk_size(rows: int, wanted: int) -> int:
    """Rows at once, about as many as wanted and at most half as many more, so that no small part is left over."""
    parts = max(1, round(rows / max(wanted, 1)))
    return max(1, -(-rows // parts))


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _loss_and_gradient(
    logits: Tensor, targets: Tensor, label_smoothing: float, needs_grad: bool
) -> tuple[Tensor, Tensor | None]:
    """Losses (rows, 1) of logits (rows, classes), and their gradients, of any kind where a target is ignored."""
    labels = targets[:, None].clamp(min=0)  # (rows, 1)
    scores = logits.to(_at_least_float32(logits.dtype))
    gradient = scores.softmax(dim=-1)  # (rows, classes)
    # log(sum(exp(scores))) from the largest score and its probability, which spares a second pass of exponentials.
    normaliser = scores.amax(dim=-1, keepdim=True) - gradient.amax(dim=-1, keepdim=True).log()  # (rows, 1)
    losses = normaliser - (1 - label_smoothing) * scores.gather(1, labels)  # (rows, 1)
    if label_smoothing:
        losses = losses - label_smoothing * scores.mean(dim=-1, keepdim=True)
    if not needs_grad:
        return losses, None
    if label_smoothing:
        gradient -= label_smoothing / logits.shape[1]
    gradient.scatter_add_(1, labels, gradient.new_full(labels.shape, label_smoothing - 1))
    return losses, gradient.to(logits.dtype)


_operator = torch.library.custom_op("lit_transformer::linear_cross_entropy", _chunked, mutates_args=())


@_operator.register_fake
def _(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    factors: Tensor,
    label_smoothing: float,
    needs_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    total = hidden.new_empty((), dtype=_at_least_float32(hidden.dtype))
    rows, classes = (len(hidden), len(weight)) if needs_grad else (0, 0)
    bias_grad = weight.new_empty(0) if bias is None else bias.new_empty(classes)
    return total, hidden.new_empty(rows, hidden.shape[1]), weight.new_empty(classes, weight.shape[1]), bias_grad


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.has_bias = inputs[2] is not None
    ctx.save_for_backward(*output[1:])
    ctx.set_materialize_grads(False)  # else zeros as large as the weight would be made for its gradient's gradient


def _in_order(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    """Those of hidden, weight and bias, at the places of the inputs."""
    return *gradients[:2], gradients[2] if ctx.has_bias else None, None, None, None, None


def _backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return _in_order(ctx, *(kept * gradient for kept in ctx.saved_tensors))


_operator.register_autograd(_backward, setup_context=_save)


class _Eager(torch.autograd.Function):
    """The same without the operator's dispatch; its gradients are scaled in place, and so once."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _chunked(*inputs)
        _save(ctx, inputs, output)
        return output[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _in_order(ctx, *(kept.mul_(gradient) for kept in ctx.saved_tensors))
