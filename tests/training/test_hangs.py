"""Ranks and loader workers that hang or die in the midst of real runs, and what is said of it."""

import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder, find_runs
from tests.training.chaos import now
from tests.training.poisoned import Fault, target
from tests.training.proofs import EPOCHS, complete, differences, start
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)  # a hang guard: what must be noticed here is what would wait for ever
ENDLESS = ("trainer.max_steps=1000000", "trainer.val_every=1000000", "trainer.checkpoint_every=5")
WATCHED = (*ENDLESS, "trainer.hang_timeout=3s")


def wait_for_step(run: RunFolder, step: int, *, rank: int = 0) -> int:
    """Wait until a rank has made the step; its process."""
    wait_for(lambda: (seen := now(run, rank)) is not None and seen.step >= step, 120)
    return now(run, rank).pid


def assert_goes_on(runner, run: RunFolder, devices: int = 1):
    """Its newest checkpoint is good, and a rank that is started again trains on from it."""
    newest = CheckpointFolder(run.checkpoints).newest(print)
    assert newest is not None and newest.entry.step >= 5 and newest.path.name == "last.ckpt"
    group = start(runner, run, devices=devices)
    wait_for(lambda: now(run).pid == group.pids[0] and now(run).step > newest.entry.step + 2)
    group.kill()


def test_a_rank_that_is_stopped_is_named(runner, new_run):
    run = new_run(*WATCHED, "trainer.devices=2")
    group = start(runner, run, devices=2)
    pid = wait_for_step(run, 6, rank=1)
    os.kill(pid, signal.SIGSTOP)
    assert group.wait() == 1
    said = run.log_file.read_text()
    assert f"rank 1 (process {pid}) hangs: it stopped answering" in said and "trainer.hang_timeout = 3 s" in said
    assert group.reason == "rank 0 of 2 ended with exit status 1; rank 1 was ended with it"
    assert not psutil.pid_exists(pid) and run.status() == "stopped"
    assert_goes_on(runner, run, 2)


@pytest.mark.parametrize(
    ("kind", "devices", "rank", "who", "doing", "frame"),
    [
        ("spinning", 2, 1, r"rank 1 \(process \d+\) hangs", "6 while it trains; the others wait for it", "never_ends"),
        ("spinning", 1, 0, r"rank 0 \(process \d+\) hangs", "6 while it trains", "never_ends"),
        # Lightning takes one batch ahead: the seventh before it trains on the sixth
        ("sleeping_dataset", 2, 0, r"rank 0 \(process \d+\) hangs",
         "5 while it waits for a batch; the others wait for it", "getitem"),
    ],
)  # fmt: skip
def test_a_rank_that_hangs_is_named_with_its_stack(runner, new_run, kind, devices, rank, who, doing, frame):
    run = Fault(steps=[7], rank=rank).put(new_run(*WATCHED, f"trainer.devices={devices}"))
    group = start(runner, run, devices=devices, target=target(kind))
    assert group.wait() == 1
    said = run.log_file.read_text()
    assert re.search(rf"^{who}: no progress for 3 s, in step {doing}$", said, re.M), said
    assert re.search(rf"poisoned.py\", line \d+ in {frame}$", said, re.M), said
    assert run.status() == "stopped" and group.reason
    assert_goes_on(runner, run, devices)


def test_a_rank_that_is_killed_ends_the_run_which_then_completes_exactly(runner, new_run):
    settings = (*EPOCHS, "trainer.devices=2")
    whole = complete(runner, new_run(*settings, name="whole"), devices=2)
    run = Fault(steps=[7], rank=1).put(new_run(*settings, name="killed"))
    group = start(runner, run, devices=2, target=target("spinning"))  # so that it cannot end first
    os.kill(wait_for_step(run, 6, rank=1), signal.SIGKILL)
    assert group.wait() == -signal.SIGKILL
    assert group.reason.startswith("rank 1 of 2 was ended by SIGKILL; rank 0 "), group.reason
    assert run.status() == "stopped" and not run.result_file.exists()
    assert "Traceback" not in run.log_file.read_text()
    complete(runner, run, devices=2)
    assert differences(whole, run) == []


def test_an_exception_in_one_rank_alone(runner, new_run):
    run = Fault(steps=[7], rank=1).put(new_run(*ENDLESS, "trainer.devices=2"))
    group = start(runner, run, devices=2, target=target("raising"))
    assert group.wait() == 1
    said = run.log_file.read_text()
    assert "Traceback" in said and "ArithmeticError: the seventh seal" in said
    assert said.count("Traceback") == 1, "that of rank 0, which was left alone, would hide it"
    assert 1 in group.failed_ranks and "ended with exit status 1" in group.reason
    assert_goes_on(runner, run, 2)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_loader_worker_that_is_killed(runner, new_run, devices):
    run = new_run(*ENDLESS, "data.loader_workers=2", f"trainer.devices={devices}")
    group = start(runner, run, devices=devices)
    workers = psutil.Process(wait_for_step(run, 12)).children()
    assert len(workers) == 2
    workers[1].kill()
    assert group.wait() == 1
    said = run.log_file.read_text()
    found = re.search(
        rf"loader worker {workers[1].pid} was killed by SIGKILL (while it made|after it had made) the batch of "
        r"step \d+ \(epoch \d+\): blocks that start at tokens \d+, ",
        said,
    )
    assert found and "data.loader_workers" in said and "Traceback" not in said, said
    assert run.status() == "failed" and found[0] in run.read_result()["error"]
    assert not workers[0].is_running()
    assert_goes_on(runner, run, devices)


def test_fit_says_which_rank_was_killed_and_how_to_go_on(tmp_path, tiny_experiment):
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", str(tiny_experiment), *WATCHED, "trainer.devices=2"]
    process = subprocess.Popen(
        [*command, "tracking.wandb=off", "--output", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: find_runs(tmp_path), 120)
    (run,) = find_runs(tmp_path)
    os.kill(wait_for_step(run, 6, rank=1), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGKILL
    assert "rank 1 of 2 was ended by SIGKILL; rank 0 " in err and f"fit --resume {run.path}" in err
    assert "Traceback" not in err
    assert run.status() == "stopped" and not run.result_file.exists(), "it may go on"
