"""FLOPs that are counted once: equal to counting, found again, another network's apart, never a reason to fail."""

import json
from pathlib import Path

import pytest
import wandb

from lit_transformer.config.layers import mapping_layer
from lit_transformer.config.load import load_layers
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.models.flops import flops_per_token
from lit_transformer.training.counted import counted_flops_per_token
from lit_transformer.training.wandb_writer import list_packages_once

SMALL = {"num_layers": 1, "num_heads": 2, "d_model": 16, "context_length": 8, "vocab_size": 10}


def config(**model: object) -> ExperimentConfig:
    values = {"task": "language_model", "model": {"kind": "gpt", **SMALL, **model}}
    return load_layers([mapping_layer(values, "test")]).config


def test_counted_once_and_found_again(tmp_path: Path) -> None:
    assert counted_flops_per_token(config(), tmp_path) == flops_per_token(config())
    (file,) = (tmp_path / "flops").iterdir()
    file.write_text(json.dumps({"flops_per_token": 7}))
    assert counted_flops_per_token(config(), tmp_path) == 7  # what stands there is what is given


def test_another_network_is_counted_apart(tmp_path: Path) -> None:
    for model in (config(), config(d_model=32), config(num_layers=2)):
        assert counted_flops_per_token(model, tmp_path) == flops_per_token(model)
    assert len(list((tmp_path / "flops").iterdir())) == 3


def test_a_damaged_file_is_counted_again(tmp_path: Path) -> None:
    counted_flops_per_token(config(), tmp_path)
    (file,) = (tmp_path / "flops").iterdir()
    file.write_text('{"flops_per')
    assert counted_flops_per_token(config(), tmp_path) == flops_per_token(config())


def test_a_folder_that_takes_no_file_is_no_reason_to_fail(tmp_path: Path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("a file where the folder should be")
    assert counted_flops_per_token(config(), blocked) == flops_per_token(config())


def test_wandb_lists_the_packages_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted((package.key, package.version) for package in wandb.util.working_set())
    monkeypatch.setattr(wandb.util, "working_set", wandb.util.working_set)  # to be put back
    list_packages_once()
    packages = wandb.util.working_set()
    assert sorted((package.key, package.version) for package in packages) == before
    assert wandb.util.working_set() is packages
