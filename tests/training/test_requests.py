"""A run is asked, by a file in its folder, to stop or that enough was seen of it."""

import shutil
from pathlib import Path

import pytest

from lit_transformer.config.load import load_layers
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.requests import Request, forget_request, read_request, write_request
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.fit import reopened
from lit_transformer.training.resume import frozen_layer
from tests.training.proofs import complete, start
from tests.waiting import wait_for

LONG = ("trainer.max_steps=100000", "trainer.val_every=5", "trainer.checkpoint_every=100000")


def ask(runner, new_run, request: Request, *, devices: int = 1) -> tuple[int, RunFolder]:
    run = new_run(*LONG, f"trainer.devices={devices}")
    group = start(runner, run, devices=devices)
    wait_for(lambda: any("val/loss" in row for row in run.read_metrics()) or group.poll() is not None)
    write_request(run, request)
    return group.wait(), run


@pytest.mark.parametrize("devices", [1, 2])
def test_a_pruned_run_saves_and_says_why(runner, new_run, devices):
    details = {"band": 3, "value": 4.5, "threshold": 2.5, "rank": 4}
    status, run = ask(runner, new_run, Request(what="prune", why="worse than 2.5", details=details), devices=devices)
    assert status == 0, run.log_file.read_text()
    result = run.read_result()
    assert (result["status"], result["error"], result["stop"]) == ("pruned", "worse than 2.5", details)
    rows = run.read_metrics()
    assert result["metrics"]["val/loss"] == min(row["val/loss"] for row in rows if "val/loss" in row)
    assert 0 < result["steps"] < 100_000
    found = CheckpointFolder(run.checkpoints).newest(print)
    assert found is not None and found.entry.step == result["steps"]
    assert read_request(run) is None


def test_a_run_that_is_asked_to_stop_goes_on_later(runner, new_run):
    status, run = ask(runner, new_run, Request(what="preempt", why="the node is needed"))
    assert status == 143
    assert run.read_result() == {}
    assert run.status() == "stopped"
    forget_request(run, "prune")
    assert read_request(run) == Request(what="preempt", why="the node is needed")
    forget_request(run, "stop", "preempt")
    assert read_request(run) is None
    found = CheckpointFolder(run.checkpoints).newest(print)
    assert found is not None
    last = found.entry.step
    write_request(run, Request(what="prune", why="enough"))
    assert complete(runner, run).read_result()["steps"] > last  # from there, and pruned at its next step


def test_what_is_no_request_asks_nothing(tmp_path: Path):
    run = RunFolder(tmp_path)
    assert read_request(run) is None
    forget_request(run)
    for text in ("", "[]", '{"what": "dance"}', '{"what": "st'):
        run.request_file.write_text(text)
        assert read_request(run) is None
    forget_request(run)
    assert not run.request_file.exists()


@pytest.mark.parametrize(("what", "holds"), [("stop", False), ("preempt", False), ("prune", True)])
def test_a_cell_that_goes_on_forgets_old_requests_but_not_that_it_is_to_be_pruned(new_run, tmp_path, what, holds):
    made, run = new_run(), RunFolder(tmp_path / "sweep" / "cells" / "a")
    shutil.copytree(made.path, run.path)
    for folder, kept in ((made, False), (run, holds)):
        (tmp_path / "sweep" / "sweep.yaml").touch()
        write_request(folder, Request(what=what, why=""))
        reopened(folder, load_layers([frozen_layer(folder)]), allow_drift=False)
        assert (read_request(folder) is not None) == kept
