"""kill -9 at random moments: the run that goes on is the run that was never killed."""

import itertools
import subprocess
import sys

import pytest

from lit_transformer.records.run_folder import RunFolder
from tests.training.chaos import LONG, MOMENTS, Killer, count, kill_until, now
from tests.training.proofs import complete, differences, start
from tests.waiting import wait_for

pytestmark = [pytest.mark.timeout(1200 + 10 * count(0)), pytest.mark.chaos, pytest.mark.slow]


@pytest.mark.parametrize("devices", [1, 2])
def test_kills_at_random_moments(runner, new_run, devices):
    settings = (*LONG, f"trainer.devices={devices}")
    whole = complete(runner, new_run(*settings, name="whole"), devices=devices)
    wanted, killer = count(20 if devices == 1 else 6), Killer(seed=devices)
    for number in itertools.count():
        run = new_run(*settings, name=f"killed-{number}")
        left = wanted - sum(killer.hits.values())
        kill_until(lambda run=run: start(runner, run, devices=devices), run, killer, left, devices=devices)
        complete(runner, run, devices=devices)
        assert differences(whole, run) == []
        if sum(killer.hits.values()) >= wanted and (devices == 2 or all(killer.hits[name] for name in MOMENTS)):
            break
        assert number < wanted
    print(f"\n{devices} ranks, kills by moment: {dict(killer.hits)}")


def test_ten_kills_inside_one_epoch_then_two_whole_epochs(runner, new_run):
    settings = (*LONG, "trainer.max_steps=45", "trainer.checkpoint_every=1")
    whole = complete(runner, new_run(*settings, name="whole"))
    run = new_run(*settings, name="killed")
    for step in range(2, 12):
        group = start(runner, run)
        wait_for(lambda step=step, group=group: step_of(run, group) >= step)
        group.kill()
    assert step_of(run, group) < 15
    complete(runner, run)
    assert differences(whole, run) == []


def step_of(run, group):
    seen = now(run)
    return seen.step if seen and seen.pid == group.pids[0] else 0


def test_cold_restarts_by_the_shell(runner, new_run):
    """Processes that share nothing: `fit --resume` is killed as a whole three times, at another step each."""
    settings = (*LONG, "trainer.max_steps=1500", "trainer.val_every=400", "tracking.log_every=100",
                "trainer.checkpoint_every=100")  # fmt: skip
    whole = complete(runner, new_run(*settings, name="whole"))
    run = new_run(*settings, name="killed")
    for step in (150, 330, 750):
        process = resume(run)
        wait_for(lambda step=step: (seen := now(run)) is not None and seen.step >= step, 120)
        assert process.poll() is None
        process.kill()  # its ranks end with it
        process.wait()
        wait_for(lambda: run.status() == "stopped")
    process = resume(run)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out == f"{run.path}\n"
    assert "; exact" in err and "going on from" in err
    assert differences(whole, run) == []


def resume(run: RunFolder) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lit_transformer.cli", "fit", "--resume", str(run.path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
