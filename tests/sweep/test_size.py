"""Sizes of cells: counted by hand, by another device, by a training."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_experiment
from lit_transformer.config.schema import GPTConfig
from lit_transformer.config.show import to_plain
from lit_transformer.models import build_model
from lit_transformer.models.flops import training_cost
from lit_transformer.sweep.size import size

CONFIG = GPTConfig(vocab_size=50, num_layers=2, num_heads=2, d_model=16, context_length=8, dropout=0.1)


def by_hand(config: GPTConfig) -> int:
    """Six FLOPs a weight that multiplies, and three times attention's two products over all positions."""
    assert config.vocab_size is not None
    weights = config.num_layers * 12 * config.d_model**2 + config.vocab_size * config.d_model
    attention = config.num_layers * 2 * 2 * config.context_length * config.d_model
    return 6 * weights + 3 * attention


@pytest.mark.parametrize("changes", [{}, {"num_heads": 4}, {"num_layers": 3}, {"d_model": 32, "tie_embeddings": False}])
def test_flops_by_hand(changes: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    assert training_cost(config).flops_per_token == by_hand(config)


def test_flops_as_counted_while_training_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    # Evaluation mode, since the counter knows no formula for the CPU's fused kernels, and training takes ours.
    monkeypatch.setattr("lit_transformer.nn.linear.ONEDNN", False)
    model = build_model(dataclasses.replace(CONFIG, dropout=0.0)).eval()
    ids = torch.zeros(1, CONFIG.context_length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(ids).sum().backward()
    assert training_cost(CONFIG).flops_per_token == counter.get_total_flops() // CONFIG.context_length


def test_parameters_count_shared_ones_once() -> None:
    model = build_model(CONFIG)
    assert training_cost(CONFIG).parameters == sum(parameter.numel() for parameter in model.parameters())
    untied = dataclasses.replace(CONFIG, tie_embeddings=False)
    assert training_cost(untied).parameters - training_cost(CONFIG).parameters == 50 * 16


def test_activation_memory_is_what_autograd_keeps() -> None:
    model = build_model(CONFIG)
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    ids = torch.zeros(1, CONFIG.context_length, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        torch.nn.functional.cross_entropy(model(ids).flatten(0, -2), ids.flatten())
    real = sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in weights)
    assert training_cost(CONFIG).activation_bytes == pytest.approx(real, rel=0.25)


def sized(experiment: Path, *settings: str) -> dict[str, Any]:
    layer = shell_layer(["model.vocab_size=30", "trainer.accelerator=cpu", *settings])
    config = to_plain(load_experiment(str(experiment), [layer]).config)
    return size(config, {"train": 3200, "val": 400}, rate=1e9)


def test_time_grows_with_the_work(experiment: Path) -> None:
    short, long = (sized(experiment, f"trainer.max_steps={steps}", "trainer.val_every=1000") for steps in (1000, 2000))
    assert (long["seconds"] - 1) == pytest.approx(2 * (short["seconds"] - 1))
    epochs = sized(experiment, "trainer.max_steps=null", "trainer.max_epochs=20", "trainer.val_every=1000")
    assert epochs == short  # 3200 / 16 / 4 = 50 steps an epoch
    assert sized(experiment, "model.num_layers=4")["seconds"] > sized(experiment)["seconds"]


def test_memory_of_two_ranks_holds_the_weights_twice(experiment: Path) -> None:
    one = sized(experiment, "model.d_model=512")
    two = sized(experiment, "model.d_model=512", "trainer.devices=2")
    halved = sized(experiment, "model.d_model=512", "data.batch_size=2")
    assert two["memory_bytes"] == 2 * halved["memory_bytes"]
    assert one["memory_bytes"] > 16 * one["parameters"]
