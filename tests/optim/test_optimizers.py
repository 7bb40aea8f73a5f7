"""Optimizers: groups, fused steps, and the updates against their formulas."""

import copy
from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn

from lit_transformer.config.schema import OptimizerConfig
from lit_transformer.optim import build_optimizer

CONFIG = OptimizerConfig(lr=0.01, weight_decay=0.3, beta1=0.8, beta2=0.9, eps=1e-6, momentum=0.7)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 3))


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_matrices_decay_and_vectors_do_not(name: Literal["adamw", "adam", "sgd"]) -> None:
    model = network()
    groups = build_optimizer(model.named_parameters(), replace(CONFIG, name=name)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    assert [set(map(id, group["params"])) for group in groups] == [
        {id(model[0].weight), id(model[2].weight)},
        {id(model[1].weight), id(model[1].bias), id(model[2].bias)},
    ]
    assert all(group["lr"] == 0.01 for group in groups)


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    optimizer = build_optimizer(model.named_parameters(), CONFIG)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4
    assert len(build_optimizer(nn.LayerNorm(3).named_parameters(), CONFIG).param_groups) == 1


def formula(name: str, weight: torch.Tensor, gradients: list[torch.Tensor], decay: float) -> torch.Tensor:
    """Loshchilov and Hutter 2019, algorithm 2; Kingma and Ba 2015, algorithm 1; momentum as torch has it."""
    c, mean, square = CONFIG, torch.zeros_like(weight), torch.zeros_like(weight)
    for step, raw in enumerate(gradients, start=1):
        gradient = raw if name == "adamw" else raw + decay * weight
        if name == "adamw":
            weight = weight * (1 - c.lr * decay)
        if name == "sgd":
            mean = c.momentum * mean + gradient
            weight = weight - c.lr * mean
            continue
        mean = c.beta1 * mean + (1 - c.beta1) * gradient
        square = c.beta2 * square + (1 - c.beta2) * gradient**2
        corrected = (square / (1 - c.beta2**step)).sqrt() + c.eps
        weight = weight - c.lr * mean / (1 - c.beta1**step) / corrected
    return weight


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_updates_are_the_formulas(name: Literal["adamw", "adam", "sgd"], fused: bool | None) -> None:
    model = network()
    optimizer = build_optimizer(model.named_parameters(), replace(CONFIG, name=name), fused=fused)
    assert optimizer.defaults["fused"] is (fused is None)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    gradients = [[torch.randn_like(value) for _ in range(4)] for value in start]
    for step in range(4):
        for parameter, series in zip(model.parameters(), gradients, strict=True):
            parameter.grad = series[step].clone()
        optimizer.step()
    for parameter, value, series in zip(model.parameters(), start, gradients, strict=True):
        expected = formula(name, value, series, 0.3 if value.ndim >= 2 else 0.0)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_state_is_restored() -> None:
    first, second = network(), network()
    optimizers = [build_optimizer(model.named_parameters(), CONFIG) for model in (first, second)]

    def step(index: int, seed: int) -> None:
        torch.manual_seed(seed)
        for parameter in (first, second)[index].parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizers[index].step()

    step(0, 1)
    second.load_state_dict(first.state_dict())
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))  # else they share it
    step(0, 2)
    step(1, 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
