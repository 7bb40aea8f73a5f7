"""The dry run: real sizes, impossible cells with their reason, nothing trained."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.begin import stop_rule
from lit_transformer.sweep.dry_run import print_dry_run, sweep_dry_run
from lit_transformer.sweep.file import read_sweep


def test_a_dry_run_prints_every_cell_and_trains_nothing(
    write_sweep: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep("model.num_heads: {values: [1, 3]}", "model.num_layers: {values: [1, 2]}")
    dry = sweep_dry_run(str(sweep), overrides=["optimizer.lr=0.1"], workers=2, output=tmp_path / "runs")
    characters = len(set("the quick brown fox jumps over the lazy dog and sleeps. "))
    parameters = {name: item["parameters"] for name, item in dry.sizes.items()}
    assert set(parameters) == {"num_heads=1,num_layers=1", "num_heads=1,num_layers=2"}
    vocabulary = [dict(cell.config)["model"]["vocab_size"] for cell in dry.plan.valid()]  # type: ignore[index]
    assert all(characters <= size <= characters + 8 for size in vocabulary)  # and the special tokens
    block = 12 * 16**2 + 13 * 16
    assert parameters["num_heads=1,num_layers=2"] - parameters["num_heads=1,num_layers=1"] == block
    assert dry.seconds > 0
    assert not (tmp_path / "runs").exists()
    print_dry_run(dry)
    out = capsys.readouterr().out
    assert "impossible  num_heads=3,num_layers=1: model.num_heads" in out
    assert f"{parameters['num_heads=1,num_layers=1']:,.0f}" in out
    assert [cell["problem"] is None for cell in dry.to_json()["cells"]] == [True, True, False, False]  # type: ignore[index, attr-defined]


def test_a_dry_run_shows_how_trials_stop_and_share_gpus(
    write_sweep: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep("seed: {values: [0]}")
    text = sweep.read_text().replace("goal: minimize", "goal: minimize, target: 1.5")
    sweep.write_text(text + "early_terminate: {type: hyperband, min_iter: 2, eta: 3}\n")

    with pytest.raises(UserError, match="--per-device 2: got a sweep on a CPU"):
        sweep_dry_run(str(sweep), overrides=["trainer.accelerator=cpu"], per_device=2, output=tmp_path / "runs")
    dry = sweep_dry_run(str(sweep), stopper="asha", output=tmp_path / "runs")

    def shown(**other: Any) -> str:
        print_dry_run(dataclasses.replace(dry, **other))
        return " ".join(capsys.readouterr().out.split())

    early, file = "trials that fall behind are stopped early:", read_sweep(sweep)
    assert f"{early} asha, by val/loss after 2 values of it and 3 times as many each time" in shown()
    found = json.loads(json.dumps(dry.to_json()))
    bands = found["stop"].pop("bands")
    assert bands[:4] == [2, 6, 18, 54]
    rule = {"stopper": "asha", "metric": "val/loss", "goal": "minimize", "eta": 3.0, "strict": True}
    assert (found["stop"], found["target"]) == (rule, 1.5)
    hyperband = "hyperband, by val/loss after 2, 6, 18, 54, ... values of it, eta 3, by the value there"
    assert f"{early} {hyperband}" in shown(stop=stop_rule(file))
    assert early not in shown(stop=stop_rule(file, "none"))
    assert "no cell is begun once val/loss has reached 1.5 in one" in shown()
    shared = dataclasses.replace(dry.slots, workers=4, gpus=[["0"], ["1"], ["0"], ["1"]])
    assert "4 workers on 2 GPUs" in shown(slots=shared)


def test_data_that_cannot_be_prepared_are_the_users(write_sweep: Callable[..., Path], tmp_path: Path) -> None:
    sweep = write_sweep("seed: {values: [0, 1]}")
    with pytest.raises(UserError, match=r"nowhere\.txt"):
        sweep_dry_run(str(sweep), overrides=["data.path=nowhere.txt"], output=tmp_path / "runs")
    with pytest.raises(UserError, match="No cell of the sweep"):
        sweep_dry_run(str(write_sweep("model.num_heads: {values: [3, 5]}")), output=tmp_path / "runs")


def test_the_bayes_sweep_that_ships_shows_the_points_that_are_drawn(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = sweep_dry_run("gpt_lr_bayes", overrides=[f"experiment={experiment}"], workers=2, output=tmp_path / "runs")
    assert [cell.name[:4] for cell in dry.plan.valid()] == [f"{number:04d}" for number in range(10)]
    assert (dry.points, dry.unproposed, dry.to_json()["unproposed"]) == (10, 30, 30)
    rates = [float(str(cell.values["optimizer.lr"])) for cell in dry.plan.cells]
    assert all(1e-4 < rate < 1e-1 for rate in rates)
    print_dry_run(dry)
    assert "30 points more are proposed from results" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
