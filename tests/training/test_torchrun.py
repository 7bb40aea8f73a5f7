"""torchrun starts the ranks: real processes over gloo."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.checkpoints import read_checkpoint

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]  # a hang guard: ranks that wait for each other wait for ever
TORCHRUN = str(Path(sys.executable).with_name("torchrun"))
ENDLESS = ("trainer.max_steps=100000", "trainer.val_every=100000", "trainer.checkpoint_every=100000")


def torchrun(*arguments, ranks=2, script=None, **options):
    what = ["--no-python", str(script)] if script else ["-m", "lit_transformer"]
    command = [TORCHRUN, f"--nproc-per-node={ranks}", *what, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def plain(*arguments):
    command = [sys.executable, "-m", "lit_transformer", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return RunFolder(Path(done.stdout.strip()))


def test_two_ranks_of_torchrun_are_two_ranks_of_fit(tmp_path, tiny_experiment):
    ours = plain("fit", tiny_experiment, "--output", tmp_path, "trainer.devices=2")
    done = torchrun("fit", tiny_experiment, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    run = RunFolder(Path(done.stdout.strip()))  # the folder is all that stands there, and stands there once
    assert run.metrics_file.read_bytes() == ours.metrics_file.read_bytes() != b""
    assert run.status() == "complete" and run.read_config() == ours.read_config()
    assert run.read_origins()["trainer.devices"] == run.read_origins()["trainer.num_nodes"] == "torchrun"
    assert ours.read_origins()["trainer.devices"] == "command line"
    assert tracked_steps(run) == [row["step"] for row in run.read_metrics()]


def test_one_rank_of_torchrun(tmp_path, tiny_experiment):
    done = torchrun("fit", tiny_experiment, "--output", tmp_path, "tracking.wandb=off", "trainer.max_steps=4", ranks=1)
    assert done.returncode == 0, done.stderr
    assert RunFolder(Path(done.stdout.strip())).status() == "complete"


def test_sigterm_saves_and_resume_goes_on(tmp_path, tiny_experiment):
    settings = ["fit", tiny_experiment, "--output", tmp_path, *ENDLESS, "trainer.keep=all"]
    run = stopped(settings, tmp_path)
    first = [row["step"] for row in run.read_metrics()]
    assert read_checkpoint(run.last_checkpoint)["global_step"] >= first[-1] >= 8
    assert tracked_steps(run) == first, "the launcher's signal does not end the W&B writer"
    again = stopped(["fit", "--resume", run.path], tmp_path, rows=len(first) + 2)
    steps = [row["step"] for row in again.read_metrics()]
    assert again == run and steps[: len(first)] == first and steps == sorted(set(steps)) and len(steps) > len(first)


def stopped(arguments, output, rows=2):
    """The run that `arguments` start, after SIGTERM to torchrun."""
    log = output / "log.txt"
    with log.open("w") as file:
        command = [TORCHRUN, "--nproc-per-node=2", "-m", "lit_transformer", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 120
        while not any(len(run.read_metrics()) >= rows for run in runs_in(output)):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 1, log.read_text()  # whatever the ranks' status
    finally:
        if process.poll() is None:  # its ranks would outlive a SIGKILL
            process.terminate()
            process.wait(60)
    (run,) = runs_in(output)
    assert run.status() == "stopped" and not run.result_file.exists()
    return run


def runs_in(output):
    return [RunFolder(path.parent) for path in output.glob("*/*/config.yaml")]


def tracked_steps(run):
    """Steps that W&B's own reader finds, over all parts of the run."""
    wandb = Path(sys.executable).with_name("wandb")
    steps = []
    for file in sorted(run.path.glob("wandb/offline-run-*/run-*.wandb")):
        shown = subprocess.run([wandb, "leet", "inspect", "--json", file], capture_output=True, text=True, check=True)
        records = [json.loads(line) for line in shown.stdout.splitlines() if line.strip()]
        steps += [record["history"]["item"]["_step"] for record in records if record["type"] == "history"]
    return steps


def test_ranks_with_other_settings_stop_all_ranks(tmp_path, tiny_experiment):
    """Rank 1 is given another seed and more steps, then a setting that does not exist; then all a wrong number."""
    script = tmp_path / "wrapper.sh"
    script.write_text(
        f'#!/bin/sh\n[ "$RANK" = 1 ] && set -- "$@" $ONLY_RANK_1\nexec {sys.executable} -m lit_transformer "$@"\n'
    )
    script.chmod(0o755)
    arguments = ["fit", tiny_experiment, "--output", tmp_path / "runs"]

    done = torchrun(*arguments, script=script, env={**os.environ, "ONLY_RANK_1": "seed=1 trainer.max_steps=13"})
    assert done.returncode == 1 and done.stdout == ""
    assert "seed: got 1 on rank 1\n  allowed  0, as on rank 0" in done.stderr
    assert "trainer.max_steps: got 13 on rank 1\n  allowed  12, as on rank 0" in done.stderr
    assert "exitcode  : 2" in done.stderr and "exitcode  : 1" not in done.stderr

    done = torchrun(*arguments, script=script, env={**os.environ, "ONLY_RANK_1": "modle.num_heads=1"})
    assert done.returncode == 1 and "on rank 1 of 2:\n" in done.stderr and "did you mean model.num_heads" in done.stderr
    assert "meeting.py" not in done.stderr, "no traceback of ours"

    done = torchrun(*arguments, "trainer.devices=4")
    assert done.returncode == 1
    assert "got 1 x 4 = 4 ranks" in done.stderr and "1 x 2 = 2 ranks, those that torchrun started" in done.stderr
    assert done.stderr.count("4 ranks\n") == 1, "rank 0 says it for all"
    assert not (tmp_path / "runs").exists()
