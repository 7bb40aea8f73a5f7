"""Optimizers by name."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

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


def apply_settings(optimizer: torch.optim.Optimizer, schedule: LambdaLR, config: OptimizerConfig) -> None:
    """Give an optimizer and its schedule that came out of a checkpoint the config's settings; the moments stay.

    Their states bring the settings that they were saved with. Where those are the config's, no bit changes.
    """
    for group, factor in zip(optimizer.param_groups, schedule.lr_lambdas, strict=True):
        group["weight_decay"] = config.weight_decay if group["params"][0].ndim >= 2 else 0.0
        own = {"betas": (config.beta1, config.beta2), "eps": config.eps, "momentum": config.momentum}
        group.update({name: value for name, value in own.items() if name in group})
        group["initial_lr"] = config.lr
        group["lr"] = config.lr * factor(schedule.last_epoch)
    schedule.base_lrs = [config.lr for _ in optimizer.param_groups]
