"""Trials on two nodes, each one srun step of a pilot: preempted, and robbed of their worker or of their srun."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.cluster.pilots import GRID, LONGER, Pilots, assert_same, train_here

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]
SETTINGS = ("tracking.wandb=off", *LONGER)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_experiment: Path) -> Path:
    """The cell on two ranks of this machine, left alone."""
    sweep = GRID.format(experiment=tiny_experiment, seeds="0")
    return train_here(tmp_path_factory.mktemp("calm"), sweep, *LONGER, "trainer.devices=2")


@pytest.fixture
def made(pilots: Callable[[str], Pilots], tiny_experiment: Path) -> Pilots:
    return pilots(GRID.format(experiment=tiny_experiment, seeds="0"))


def test_a_preempted_step_saves_and_goes_on_bit_for_bit(made: Pilots, calm: Path) -> None:
    """USR1 in the middle, and the pilot requeues itself; then TERM while the step still starts."""
    settings = ("trainer.num_nodes=2", *SETTINGS)
    assert made.submit(*settings).returncode == 0
    made.until(lambda: made.cell("seed=0").path.exists() and made.steps("seed=0") >= 40)
    (job,) = made.jobs()
    assert made.queue()[job] == ("RUNNING", "n[1-2]")
    before = made.steps("seed=0")
    made.signal("USR1", job)
    made.until(lambda: made.ends("seed=0") == ["preempted"])
    assert made.cell("seed=0").last_checkpoint.exists()
    made.until(lambda: len(made.ranks("seed=0")) == 2)
    made.signal("TERM", job)
    made.until(lambda: made.gone(job))
    assert made.ends("seed=0") == ["preempted", "preempted"]
    assert made.submit(*settings).returncode == 0
    made.until(made.done)
    assert made.ends("seed=0") == ["preempted", "preempted", "complete"]
    log = made.cell("seed=0").log_file.read_text()
    steps = [int(part.split(";")[0].strip(",.")) for part in log.split("going on from last.ckpt, step ")[1:]]
    assert before <= steps[0] and steps == sorted(steps) and steps[-1] < 400
    assert made.cell("seed=0").read_config()["trainer"]["num_nodes"] == 2  # type: ignore[index]
    assert_same(made, calm, "seed=0")


def test_a_step_ends_with_its_worker_and_with_its_srun(made: Pilots, calm: Path) -> None:
    """Killed -9, each: the cell is taken up again by the pilot, after the last rank of the old step is gone."""
    assert made.submit("trainer.num_nodes=2", *SETTINGS).returncode == 0
    made.until(lambda: made.cell("seed=0").path.exists() and made.steps("seed=0") >= 40)
    first = made.ranks("seed=0")
    assert len(first) == 2
    worker = worker_of(made)
    worker.kill()
    assert not psutil.wait_procs(first, timeout=60)[1]
    second = new_step(made, first)
    srun = next(child for child in worker_of(made).children() if child.name() == "srun")
    os.killpg(srun.pid, signal.SIGKILL)
    third = new_step(made, second)
    # both at once: nobody is left who knows the step
    worker = worker_of(made)
    srun = next(child for child in worker.children() if child.name() == "srun")
    worker.suspend()
    os.killpg(srun.pid, signal.SIGKILL)
    worker.kill()
    new_step(made, third)
    made.until(made.done)
    assert made.ends("seed=0") == ["lost", "lost", "lost", "complete"]
    assert_same(made, calm, "seed=0")


def worker_of(made: Pilots) -> psutil.Process:
    """The only worker of the sweep's pilot."""
    words = ["lit_transformer.sweep.worker", str(made.folder)]
    (found,) = [
        item for item in psutil.process_iter(["cmdline"]) if all(word in (item.info["cmdline"] or ()) for word in words)
    ]
    return found


def new_step(made: Pilots, old: set[psutil.Process]) -> set[psutil.Process]:
    """The ranks of the next step; none of the old one may live beside them."""

    def found() -> set[psutil.Process] | None:
        there = made.ranks("seed=0") - old
        assert not there or not [rank for rank in old if rank.is_running()]
        return there if len(there) == 2 else None

    return made.until(found)
