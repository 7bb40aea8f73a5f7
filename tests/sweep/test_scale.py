"""What planning costs, in what is done and not by the clock: one build a network, one listing a claim."""

import os
from pathlib import Path

import pytest

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import _section, load_experiment
from lit_transformer.config.show import to_plain
from lit_transformer.models.flops import training_cost
from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.size import size


def test_one_build_for_each_distinct_network(experiment: Path) -> None:
    training_cost.cache_clear()
    for layers in (1, 2):
        for setting in ("seed=1", "seed=2", "optimizer.lr=0.1", "trainer.max_steps=3"):
            layer = shell_layer([f"model.num_layers={layers}", "model.vocab_size=30", setting])
            config = to_plain(load_experiment(str(experiment), [layer]).config)
            size(config | {"trainer": config["trainer"] | {"accelerator": "cpu"}}, {"train": 99}, rate=1e9)  # type: ignore[operator]
    assert training_cost.cache_info().misses == 2


def test_a_section_of_settings_is_checked_once(write_sweep) -> None:
    sweep = write_sweep("model.num_layers: {values: [1, 2, 3]}", "optimizer.lr: {values: [0.1, 0.2]}",
                        "seed: {distribution: int_uniform, min: 0, max: 19}")  # fmt: skip
    _section.cache_clear()
    cells = build_cells(read_sweep(sweep))
    assert len(cells) == 120 and len({str(cell.config) for cell in cells}) == 120
    assert _section.cache_info().misses <= 3 + 2 + 6, "each model, each optimizer, and every other section once"


@pytest.mark.parametrize("done", [0, 500, 1999])
def test_a_claim_lists_the_folder_once_and_asks_of_no_ended_cell(
    done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [f"num_heads={index}" for index in range(2000)]
    ledger = Ledger(tmp_path / "claims", cells, Holder.here("here"))
    for cell in cells[:done]:
        (ledger.folder / f"{cell}.1").touch()
        (ledger.folder / f"{cell}.1.complete").touch()
    calls: list[object] = []
    listed, read = os.listdir, Path.read_text
    monkeypatch.setattr(os, "listdir", lambda *a: calls.append("list") or listed(*a))
    monkeypatch.setattr(Path, "read_text", lambda *a, **k: calls.append("read") or read(*a, **k))
    claim = ledger.claim()
    assert claim is not None and claim.cell == cells[done]
    assert calls == ["list", "read"], "the folder, and whether the sweep is closed"
