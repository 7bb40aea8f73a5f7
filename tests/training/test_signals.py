"""Signals at random moments: every rank stops at the same step, saves, and the run goes on from there."""

import random
import signal
import time

import pytest

from lit_transformer.processes.progress_file import Phase
from lit_transformer.records.checkpoints import CheckpointFolder
from tests.training.chaos import LONG, count, now
from tests.training.proofs import assert_second_signal_ends_at_once, complete, differences, start
from tests.waiting import wait_for

pytestmark = [pytest.mark.timeout(1200 + 10 * count(0)), pytest.mark.chaos, pytest.mark.slow]
SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 143}


@pytest.mark.parametrize(("devices", "one_rank"), [(1, True), (2, False), (2, True)])
def test_signals_at_random_moments(runner, new_run, devices, one_rank):
    settings = (*LONG, "trainer.checkpoint_every=1000", f"trainer.devices={devices}")
    whole = complete(runner, new_run(*settings, name="whole"), devices=devices)
    pick = random.Random(devices + one_rank)
    run, sent, number = new_run(*settings, name="stopped-0"), 0, 0
    wanted = count(20 if devices == 1 else 10)
    while sent < wanted:
        signum = pick.choice(list(SIGNALS))
        group = start(runner, run, devices=devices)
        children = [pick.choice(group.children)] if one_rank else group.children
        wait_for(lambda run=run, group=group: all(seen_by(run, group, rank) for rank in range(devices)))
        time.sleep(pick.random() * 0.5)
        for child in children:
            child.signal(signum)
        status = group.wait()
        if run.status() == "complete":  # the signal came too late: the next one is for a new run
            assert differences(whole, run) == []
            number += 1
            run = new_run(*settings, name=f"stopped-{number}")
            continue
        sent += 1
        assert status == SIGNALS[signum], run.log_file.read_text()
        last = now(run)
        assert last is not None and last.phase == Phase.ENDING
        assert all(row["step"] <= last.step for row in run.read_metrics())
        found = CheckpointFolder(run.checkpoints).newest(print)
        assert found is not None and found.entry.step == last.step, "every step that was made is saved"
    complete(runner, run, devices=devices)
    assert differences(whole, run) == []


def seen_by(run, group, rank):
    seen = now(run, rank)
    return seen is not None and seen.pid == group.pids[rank]


def test_a_second_signal_ends_at_once(runner, new_run):
    assert_second_signal_ends_at_once(runner, new_run, "run")
