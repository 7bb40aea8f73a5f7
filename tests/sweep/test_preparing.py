"""The children that a sweep asks: they answer, end when told, and end with whoever asked."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.preparing import Stopped, ask
from lit_transformer.sweep.watching import sweep_stop
from tests.waiting import alive, wait_for

pytestmark = pytest.mark.timeout(600)
MODULE = """
import json, os, pathlib, subprocess, sys, time
request = json.loads(pathlib.Path(sys.argv[1]).read_text())
if request.get("sleep"):
    helper = subprocess.Popen(["sleep", "600"])
    pathlib.Path(request["sleep"]).write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(600)
if __name__ == "__main__" and not request.get("fail"):
    pathlib.Path(sys.argv[2]).write_text(json.dumps({"got": request}))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "asked_in_tests.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.getcwd()}")
    return "asked_in_tests"


def both(note: Path) -> list[int]:
    """The child and its own child, once they are there."""
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    return [int(pid) for pid in note.read_text().split()]


def test_a_child_answers_fails_and_ends_when_told(module: str, tmp_path: Path) -> None:
    assert ask(module, {"a": 1}) == {"got": {"a": 1}}
    with pytest.raises(UserError, match="ended with exit status 0"):
        ask(module, {"fail": True})
    note = tmp_path / "pids"
    with pytest.raises(Stopped):
        ask(module, {"sleep": str(note)}, note.exists)
    wait_for(lambda: not any(alive(pid) for pid in both(note)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_child_ends_with_whoever_asked(module: str, tmp_path: Path, number: int) -> None:
    note = tmp_path / "pids"
    code = f"from lit_transformer.sweep.preparing import ask; ask({module!r}, {{'sleep': {str(note)!r}}})"
    asking = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    pids = both(note)
    asking.send_signal(number)
    asking.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.slow
def test_stops_while_data_are_prepared_are_prompt(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write_sweep("seed: {values: [0, 1]}")
    assert drive(sweep).wait() == 0
    first = drive(sweep, overrides=["trainer.max_steps=7"], output="other")
    assert first.wait() == 0, first.log.read_text()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "cache", elsewhere)
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(elsewhere))
    for meta in elsewhere.rglob("meta.json"):
        meta.unlink()
    with ExitStack() as held:
        for path in elsewhere.rglob("*.lock"):  # whoever prepares here waits for ever
            fcntl.flock(held.enter_context(path.open("a")), fcntl.LOCK_EX)

        def preparing(run: Any) -> list[psutil.Process]:
            return [item for item in run.family() if "lit_transformer.training.prepare" in item.cmdline()]

        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
            run = drive(sweep, "fresh")
            (child,) = run.until(lambda run=run: preparing(run))
            run.process.send_signal(number)
            assert run.wait(60) == status
            wait_for(lambda child=child: not alive(child.pid))
            assert "Traceback" not in run.log.read_text()

        run = drive(sweep)  # whose folder is there: `sweep stop` reaches it before its first trial
        (child,) = run.until(lambda: preparing(run))
        assert sweep_stop(first.folder.parents[2] / "runs" / "sweeps" / "sweep", wait=10) == 0
        assert run.wait(60) == 1
        assert "stopped: asked by `sweep stop` before the first trial" in run.log.read_text()
        assert not alive(child.pid)

        reopen(first.folder, "seed=0")
        shutil.rmtree(tmp_path / "cache")
        agent = drive(agent=str(first.folder))  # its data are missing here
        (child,) = agent.until(lambda: preparing(agent))
        agent.process.send_signal(signal.SIGTERM)
        assert agent.wait(60) == 143, agent.log.read_text()
        assert not alive(child.pid)
        assert read_claims(first.folder / "claims")["seed=0"].end == "preempted"


def reopen(folder: Path, cell: str) -> None:
    """As if the cell had not been run."""
    for path in (folder / "claims").glob(f"{cell}.*"):
        path.unlink()
    shutil.rmtree(folder / "cells" / cell)
