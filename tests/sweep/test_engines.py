"""Whole sweeps by the engines that an option chooses: the Gaussian process, and asynchronous halving."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.run_folder import read_rows
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.bayes import STARTUP, ask_child
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.propose import seen_points
from lit_transformer.sweep.run import sweep_run
from lit_transformer.sweep.search import read_search
from lit_transformer.sweep.status import sweep_status
from tests.sweep.test_early_stop import write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_sweep_whose_last_point_the_gaussian_process_proposes(
    write_sweep: Callable[..., Path], tmp_path: Path
) -> None:
    sweep = write_sweep("optimizer.lr: {distribution: log_uniform_values, min: 1.0e-4, max: 0.1}")
    text = sweep.read_text().replace("method: grid", f"method: bayes\nrun_cap: {STARTUP + 1}")
    sweep.write_text(text)
    overrides = ["trainer.max_steps=2", "trainer.val_every=1", "trainer.threads=1"]
    status, path = sweep_run(str(sweep), overrides=overrides, sampler="gp", workers=1, output=tmp_path / "runs")
    assert status == 0
    folder = SweepFolder(path)
    plan, growth = read_plan(folder), read_search(folder).growth
    assert growth is not None and growth.search.sampler == "gp"
    assert [view.state for view in sweep_status(path).views] == ["complete"] * (STARTUP + 1)
    seen = seen_points(folder, plan, "minimize")
    proposed = ask_child(growth.search, seen[:STARTUP], STARTUP)
    assert seen[STARTUP].u == pytest.approx(proposed, abs=1e-6)
    chance = ask_child(growth.search, [], STARTUP)
    assert seen[STARTUP].u != pytest.approx(chance, abs=1e-6)


def test_a_sweep_whose_bad_cell_asynchronous_halving_stops(
    tmp_path: Path, experiment: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, path = sweep_run(
        str(write(tmp_path, experiment)),
        overrides=["trainer.threads=1"],
        stopper="asha",
        workers=1,
        output=tmp_path / "runs",
    )
    assert status == 0
    folder = SweepFolder(path)
    views = {Path(str(view.values["experiment"])).stem: view for view in sweep_status(path).views}
    assert (views["fast"].state, views["bad"].state) == ("complete", "pruned")
    stop: Any = views["bad"].stop
    assert (stop["rule"], stop["metric"]) == ("asha", "val/loss")
    assert stop["value"] > stop["threshold"] and stop["rank"] > 1 and stop["band"] in (2, 4, 8, 16, 32)
    assert f"{views['bad'].cell}: stopped early, asha: val/loss" in capfd.readouterr().err
    assert views["bad"].cell in [row["cell"] for row in read_rows(folder.stops_file)]
