"""Real sweeps with real kills: no orphan, no second writer, every cell complete exactly once, the same numbers."""

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.status import sweep_status
from lit_transformer.training.checkpoints import read_checkpoint
from tests.training.chaos import count

CLOCKED = ("seconds", "tokens_per_second", "peak_memory_bytes")
SWEEPS = max(1, count(0) // 50)
"""`make chaos` runs ten."""
FIRST = int(os.environ.get("CHAOS_SEED", "0"))
"""The seed of the first one's kills."""
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]
LONGER = [
    "trainer.max_steps=200", "trainer.val_every=100", "trainer.checkpoint_every=10", "tracking.wandb=offline",
    "trainer.threads=1",
]  # fmt: skip
"""Trials that last long enough to be killed in the middle."""


def test_a_killed_and_stopped_sweep_ends_as_the_undisturbed_one(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], gone: Callable[..., list[psutil.Process]]
) -> None:
    sweep = write_sweep("model.num_heads: {values: [1, 2]}", "model.num_layers: {values: [1, 2]}")

    calm = drive(sweep, "calm", overrides=LONGER)
    calm.until(calm.trials)
    second = drive(sweep, "calm", overrides=LONGER)
    assert second.wait() == 2
    assert f"process {calm.process.pid}" in second.log.read_text()
    assert calm.wait() == 0, calm.log.read_text()

    run = drive(sweep, "chaos", workers=2, overrides=LONGER)
    cell, trial = next(iter(run.until(lambda: run.trials(steps=20)).items()))
    trial.kill()
    run.until(lambda: f"{cell}: its process was killed" in run.log.read_text())
    log = SweepFolder(run.folder).cell(cell).log_file
    run.until(lambda: "going on from last.ckpt, step" in log.read_text())  # not from step 0
    run.until(lambda: run.trials(steps=20))
    worker = run.workers()[0]
    under = worker.children(recursive=True)
    worker.kill()
    assert gone(under) == []
    run.until(lambda: "a worker died" in run.log.read_text())
    run.until(lambda: run.trials(steps=20))
    family = run.family()
    run.process.kill()  # the driver's pid alone
    assert gone(family) == []

    run = drive(sweep, "chaos", overrides=LONGER)
    run.until(lambda: run.trials(steps=20))
    family = run.family()
    run.process.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert "the same command continues: lit-transformer sweep run" in run.log.read_text()
    assert gone(family) == []
    assert sweep_status(run.folder).exit_status == 1

    run = drive(sweep, "chaos", overrides=LONGER)
    assert run.wait() == 0, run.log.read_text()
    assert_complete_once(run.folder)
    assert_same_numbers(calm.folder, run.folder)


def assert_complete_once(folder: Path) -> None:
    """Every cell is complete, by one attempt, and its log is one run's."""
    for name, known in read_claims(folder / "claims").items():
        assert Counter(known.ends.values())["complete"] == 1, (name, known)
        assert known.end == "complete"
        rows = SweepFolder(folder).cell(name).read_metrics()
        steps = [row["step"] for row in rows]
        assert steps == sorted(set(steps))  # type: ignore[type-var]
    status = sweep_status(folder)
    assert status.exit_status == 0
    assert all(view.state == "complete" for view in status.views)


def assert_same_numbers(one: Path, other: Path) -> None:
    """Two sweeps' logs, results and best weights agree bit for bit."""
    names = sorted(path.name for path in (one / "cells").iterdir())
    assert names == sorted(path.name for path in (other / "cells").iterdir())
    for name in names:
        logs = [(folder / "cells" / name / "metrics.jsonl").read_bytes() for folder in (one, other)]
        assert logs[0] == logs[1]
        assert len(logs[0]) > 500
        ended = [RunFolder(folder / "cells" / name) for folder in (one, other)]
        results = [{key: value for key, value in run.read_result().items() if key not in CLOCKED} for run in ended]
        assert results[0] == results[1] != {}
        mine, its = (read_checkpoint(run.best_checkpoint)["state_dict"] for run in ended)
        assert mine.keys() == its.keys() and all(torch.equal(value, its[key]) for key, value in mine.items())


SHORT = [
    "trainer.max_steps=120", "trainer.val_every=60", "trainer.checkpoint_every=5", "tracking.wandb=off",
    "trainer.threads=1",
]  # fmt: skip
"""A trial that is killed every other second gets on: its checkpoints are closer together."""
CELLS, STEPS, DRIVERS = 24, 120, 5


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(1200 + 1200 * SWEEPS)
def test_24_cells_under_kills_of_trials_workers_and_drivers(
    write_sweep: Callable[..., Path], drive: Callable[..., Any]
) -> None:
    sweep = write_sweep(
        "model.num_heads: {values: [1, 2]}", "model.num_layers: {values: [1, 2]}", "seed: {values: [0, 1, 2, 3, 4, 5]}"
    )
    calm = drive(sweep, "calm", workers=2, overrides=SHORT)
    assert calm.wait(1200) == 0, calm.log.read_text()
    for number in range(FIRST, FIRST + SWEEPS):
        chaos, begun = Chaos(number), time.monotonic()
        while True:
            run = drive(sweep, f"chaos-{number}", workers=2, overrides=SHORT)
            if chaos.disturb(run) == 0:
                break  # else killed, or a cell was killed four times in a row: the same command goes on
        print(f"sweep {number}: killed {dict(chaos.hits)} in {time.monotonic() - begun:.0f} s")
        assert len(read_plan(SweepFolder(run.folder)).cells) == CELLS
        assert_complete_once(run.folder)
        assert_same_numbers(calm.folder, run.folder)
        assert chaos.hits["driver"] == DRIVERS
        assert chaos.hits["trial"] >= 10 and chaos.hits["worker"] >= 1


class Chaos:
    """Kills a random trial every 2 s, a worker every 30 s, and five drivers, each at some count of complete cells.

    On a machine so busy that nothing would get on in such times, what has not got on is spared: a trial that was killed
    in the same third of its steps, a worker until 10 s after both have trials.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.hits: Counter[str] = Counter()
        self._due = {"trial": time.monotonic() + 2, "worker": time.monotonic() + 30}
        self._drivers = sorted(self._random.sample(range(CELLS - 4), DRIVERS))
        self._killed: set[tuple[str, int]] = set()

    def disturb(self, run: Any) -> int:
        """The exit status of a driver that is disturbed until it ends."""
        while (status := run.process.poll()) is None:
            time.sleep(0.1)
            assert_one_writer(run)
            with contextlib.suppress(psutil.Error):
                trials = run.trials()
                busy = {parent for trial in trials.values() for parent in trial.parents()}
                workers = [worker for worker in run.workers() if worker in busy]
                if len(workers) < 2:
                    self._due["worker"] = max(self._due["worker"], time.monotonic() + 10)
                elif self._is_due("worker", 30):
                    self._random.choice(workers).kill()
                    self.hits["worker"] += 1
                thirds = {cell: newest_step(run.folder / "cells" / cell) // (STEPS // 3) for cell in trials}
                alive = [item for item in thirds.items() if item not in self._killed]
                if alive and self._is_due("trial", 2):
                    chosen = self._random.choice(alive)
                    trials[chosen[0]].kill()
                    self._killed.add(chosen)
                    self.hits["trial"] += 1
            if self._drivers and len(list((run.folder / "claims").glob("*.complete"))) >= self._drivers[0]:
                self._drivers.pop(0)
                run.process.kill()
                self.hits["driver"] += run.process.wait() == -signal.SIGKILL
        return int(status)

    def _is_due(self, kind: str, seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due[kind]:
            return False
        self._due[kind] = now + seconds
        return True


def newest_step(cell: Path) -> int:
    """The step of a run's newest checkpoint."""
    return max((entry.step for entry in CheckpointFolder(cell / "checkpoints").entries()), default=0)


def assert_one_writer(run: Any) -> None:
    """No two trials, whoever started them, have a cell's log open; a trial's loader workers share its session."""
    writers: dict[str, set[int]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            for file in process.open_files():
                if file.path.startswith(str(run.folder)) and file.path.endswith("metrics.jsonl") and file.mode != "r":
                    writers.setdefault(file.path, set()).add(os.getsid(process.pid))
    assert all(len(sessions) == 1 for sessions in writers.values()), writers


def test_failing_diverging_and_impossible_cells_hide_no_others(
    write_sweep: Callable[..., Path], drive: Callable[..., Any]
) -> None:
    sweep = write_sweep("model.num_heads: {values: [1, 3]}", "optimizer.lr: {values: [0.01, 1.0e+30, 0.02]}")
    overrides = ["trainer.max_steps=100", "trainer.gradient_clip=null", "optimizer.name=sgd", "optimizer.momentum=0"]
    run = drive(sweep, overrides=overrides)
    run.until(run.trials).popitem()[1].send_signal(signal.SIGABRT)
    assert run.wait() == 1
    views = {view.cell: view for view in sweep_status(run.folder).views}
    states = {name: view.state for name, view in views.items()}
    assert states == {
        "num_heads=1,lr=0.01": "failed",
        "num_heads=1,lr=1e+30": "diverged",
        "num_heads=1,lr=0.02": "complete",
        **{f"num_heads=3,lr={lr}": "impossible" for lr in ("0.01", "1e+30", "0.02")},
    }
    assert "SIGABRT" in str(views["num_heads=1,lr=0.01"].reason)
    assert "a smaller optimizer.lr or trainer.gradient_clip may help" in str(views["num_heads=1,lr=1e+30"].reason)
    assert "num_heads 3" in str(views["num_heads=3,lr=0.01"].reason)
    log = run.log.read_text()
    assert "1 of 3 cells done, 1 diverged, 1 failed, 3 impossible" in log
    assert sorted(path.name for path in (run.folder / "cells").iterdir()) == sorted(
        name for name in states if states[name] != "impossible"
    )

    retried = drive(None)
    assert retried.wait() == 1
    attempts = {view.cell: (view.state, view.attempts) for view in sweep_status(run.folder).views}
    assert attempts["num_heads=1,lr=0.01"] == ("complete", 2)
    assert attempts["num_heads=1,lr=1e+30"] == ("diverged", 2)
    assert attempts["num_heads=1,lr=0.02"] == ("complete", 1)
    json.dumps(sweep_status(run.folder).to_json())

    sweep.write_text(sweep.read_text().replace("0.02", "0.03"))
    other = drive(sweep, overrides=[*overrides[:-1], "optimizer.momentum=0.5"])
    assert other.wait() == 2
    for words in ("another sweep", "optimizer.momentum: 0.0 -> 0.5 in", "lr=0.03", "--name"):
        assert words in other.log.read_text()


def test_a_cell_that_is_no_number_from_its_first_step_says_so(
    write_sweep: Callable[..., Path], drive: Callable[..., Any]
) -> None:
    run = drive(write_sweep("model.init_std: {values: [1.0e+30, 0.02]}"))
    assert run.wait() == 1, run.log.read_text()
    bad, good = sweep_status(run.folder).views
    assert (bad.state, bad.step, good.state) == ("diverged", 1, "complete")
    assert "no number at step 1; a smaller optimizer.lr" in str(bad.reason)
    assert "1 of 2 cells done, 1 diverged" in run.log.read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(filler: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_stops_the_sweep_and_loses_nothing(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], small_disk: Path
) -> None:
    sweep = write_sweep("seed: {values: [0, 1]}")
    run = drive(sweep, str(small_disk), overrides=["trainer.max_steps=200", "trainer.val_every=100"])
    run.until(run.trials)
    filler = small_disk / "filler"
    fill(filler)
    assert run.wait() == 1, run.log.read_text()
    assert "The disk is full" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    fill(filler)
    full = drive(sweep, str(small_disk), overrides=["trainer.max_steps=200", "trainer.val_every=100"])
    assert full.wait() == 2
    assert "The disk is full" in full.log.read_text()
    filler.unlink()
    again = drive(sweep, str(small_disk), overrides=["trainer.max_steps=200", "trainer.val_every=100"])
    assert again.wait() == 0, again.log.read_text()
    assert_complete_once(again.folder)


def test_a_cell_without_room_says_so_and_the_others_go_on(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], small_disk: Path
) -> None:
    sweep = write_sweep("model.d_model: {values: [256, 16]}")
    run = drive(sweep, str(small_disk))
    assert run.wait() == 1, run.log.read_text()
    large, small = sweep_status(run.folder).views
    assert (large.state, small.state) == ("failed", "complete")
    for words in ("too little room for the checkpoints", "MB free", "allowed", "fix      free some space"):
        assert words in str(large.reason)
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    again = drive(sweep, str(small_disk))
    assert again.wait() == 0, again.log.read_text()
    assert_complete_once(again.folder)
