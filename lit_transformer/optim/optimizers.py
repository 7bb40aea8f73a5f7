"""Optimizers by name."""

from collections.abc import Iterable

import torch
from torch import nn

from lit_transformer.config.schema import OptimizerConfig

FUSED_DEVICES = {"cpu", "cuda", "mps"}


def decay_groups(parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float) -> list[dict[str, object]]:
    """Two groups of trainable parameters: matrices and embeddings decay, vectors (biases and norms) do not."""
    trainable = [parameter for _, parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if parameter.ndim >= 2]
    vectors = [parameter for parameter in trainable if parameter.ndim < 2]
    groups: list[dict[str, object]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(
    parameters: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig, *, fused: bool | None = None
) -> torch.optim.Optimizer:
    """The optimizer over `named_parameters()` of a network, with decay groups.

    fused None = where torch can. Give False for 16-mixed with clipping: a fused step unscales gradients itself, which
    Lightning refuses together with clipping.
    """
    groups = decay_groups(parameters, config.weight_decay)
    if fused is None:
        tensors = [tensor for group in groups for tensor in group["params"]]  # type: ignore[attr-defined]
        fused = all(tensor.device.type in FUSED_DEVICES and tensor.is_floating_point() for tensor in tensors)
    betas = (config.beta1, config.beta2)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)
    if config.name == "adam":
        return torch.optim.Adam(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)
