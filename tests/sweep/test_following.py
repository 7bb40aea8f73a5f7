"""Programs while they run: what they log is read, bad ones are stopped early, those that do not listen killed."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.requests import Request, read_request, write_request
from lit_transformer.records.run_folder import RunFolder, read_rows
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep import following, wandb_file
from lit_transformer.sweep.following import Followed
from lit_transformer.sweep.foreign import Foreign
from lit_transformer.sweep.plan import PlannedCell
from lit_transformer.sweep.program import Program
from lit_transformer.sweep.run import sweep_run
from lit_transformer.sweep.status import sweep_status
from lit_transformer.sweep.wandb_file import read_wandb_file
from tests.waiting import wait_for

SCRIPT = """
import time
import wandb

with wandb.init() as run:
    for step in range(8):
        run.log({"loss": run.config["loss"] / (step + 1)})
        time.sleep(600 if run.config["loss"] > 2 and step == 4 else 0.05)
"""
"""The bad one lasts: it is compared at the last band that it has come to, whenever its file is read."""
PRUNE = Request(what="prune", why="it is bad", details={"band": 2})


def foreign(folder: Path) -> Foreign:
    (folder / "train.py").write_text(SCRIPT)
    command = (sys.executable, "${program}")
    return Foreign(command=command, program="train.py", sweep_id="s", project=None, entity=None, folder=str(folder))


@pytest.mark.timeout(300)
def test_a_program_is_read_while_it_runs_and_pruned_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    ours, run = foreign(tmp_path), RunFolder(tmp_path / "cell")
    cell = PlannedCell(name="loss=3", values={"loss": 3}, config={"loss": 3})
    assert ours.make_ready(run, cell)
    followed = Followed(ours.start(run, cell), run, ours.run_id(cell.name))
    try:
        wait_for(lambda: followed.poll() is not None or len(run.read_metrics()) >= 3, 120)
        assert followed.poll() is None, run.log_file.read_text()
        assert [row["loss"] for row in run.read_metrics()][:3] == [3.0, 1.5, 1.0]
        write_request(run, PRUNE)
        wait_for(lambda: followed.poll() is not None, 60)
    finally:
        followed.kill()
    assert (followed.poll(), followed.pruned) == (-signal.SIGTERM, PRUNE)
    ours.record(run, cell, -signal.SIGTERM, 1.0, followed.pruned)
    result: Any = run.read_result()
    assert (result["status"], result["error"], result["stop"]) == ("pruned", "it is bad", {"band": 2})
    rows = run.read_metrics()
    assert result["steps"] == rows[-1]["step"] == len(rows) - 1
    assert result["metrics"] == {"loss": rows[-1]["loss"]}
    assert read_request(run) is None
    monkeypatch.setattr(wandb_file, "find_spec", lambda name: None)  # the program behind `wandb leet` is elsewhere
    assert read_wandb_file(run.path, ours.run_id(cell.name)).rows == rows


@pytest.mark.timeout(120)
def test_a_program_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "KILL_SECONDS", 0.3)
    run = RunFolder(tmp_path / "cell")
    run.path.mkdir()
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    program = Program([sys.executable, "-c", code], run=run, folder=tmp_path, environment=environment)
    followed = Followed(program, run, "x")
    wait_for(lambda: "up" in run.log_file.read_text(), 60)
    assert followed.poll() is None
    write_request(run, Request(what="stop", why="by its worker, which sends the signal itself"))
    assert (followed.poll(), followed.pruned) == (None, None)
    write_request(run, PRUNE)
    wait_for(lambda: followed.poll() is not None, 60)
    assert (followed.poll(), followed.pruned) == (-signal.SIGKILL, PRUNE)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stopper", ["hyperband", "asha"])
def test_the_bad_program_of_a_sweep_is_stopped_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopper: str, capfd: pytest.CaptureFixture[str]
) -> None:
    foreign(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(f"""
method: grid
program: train.py
metric: {{name: loss, goal: minimize}}
early_terminate: {{type: hyperband, min_iter: 2, eta: 2}}
parameters: {{loss: {{values: [0.5, 1, 3]}}}}
command: [{sys.executable}, "${{program}}"]
""")
    status, path = sweep_run("mine.yaml", stopper=stopper)  # type: ignore[arg-type]
    assert status == 0
    views = {view.cell: view for view in sweep_status(path).views}
    assert (views["loss=0.5"].state, views["loss=3"].state) == ("complete", "pruned")
    assert views["loss=1"].state == "complete" or stopper == "asha"  # which keeps one of two
    stop: Any = views["loss=3"].stop
    assert (stop["rule"], stop["metric"]) == (stopper, "loss")
    rows = SweepFolder(path).cell("loss=3").read_metrics()
    assert len(rows) == 5 and stop["band"] in (2, 4)
    assert stop["value"] == rows[stop["band"] - 1]["loss"] == 3 / stop["band"]
    assert stop["threshold"] < stop["value"] and stop["rank"] == stop["of"] >= 2
    assert read_rows(SweepFolder(path).stops_file)[-1]["cell"] == "loss=3"
    assert "loss=3: stopped early" in capfd.readouterr().err
