"""The watchdog in real ranks: processes that spin, are stopped, killed, or wait in gloo for one that hangs."""

import ctypes
import multiprocessing
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest
import torch
from torch import distributed

from lit_transformer.processes.progress_file import Phase, ProgressFile, progress_path, read_progress
from lit_transformer.training.watchdog import Watchdog

pytestmark = pytest.mark.timeout(300)
FORK = multiprocessing.get_context("fork")
TIMEOUT = 2.0
Behaviour = Callable[[Watchdog, int], None]


class Ranks:
    """Forked ranks over one run's folder; what each writes to standard error is in `<rank>.err`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[BaseProcess] = []
        self.gate = FORK.Event()
        self.settle_in: Callable[[int], None] = lambda rank: None
        """What each rank does before it makes its watchdog."""

    def start(self, *behaviours: Behaviour, timeout: float | None = TIMEOUT, world_size: int | None = None) -> None:
        """One rank for each behaviour; more of them are in the world than start where `world_size` says so."""
        for rank, behaviour in enumerate(behaviours):
            arguments = (behaviour, rank, world_size or len(behaviours), timeout)
            self.processes.append(FORK.Process(target=self._run, args=arguments))
        for process in self.processes:
            process.start()

    def _run(self, behaviour: Behaviour, rank: int, world_size: int, timeout: float | None) -> None:
        descriptor = os.open(self.folder / f"{rank}.err", os.O_WRONLY | os.O_CREAT, 0o644)
        os.dup2(descriptor, 2)
        self.settle_in(rank)
        watchdog = Watchdog(self.folder, rank, world_size, timeout)
        watchdog.start()
        behaviour(watchdog, rank)
        watchdog.close()
        os._exit(0)

    def status(self, rank: int) -> int | None:
        self.processes[rank].join(60)
        return self.processes[rank].exitcode

    def said(self, rank: int) -> str:
        return (self.folder / f"{rank}.err").read_text()

    def pid(self, rank: int) -> int:
        pid = self.processes[rank].pid
        assert pid is not None
        return pid

    def reached(self, rank: int, step: int) -> None:
        def there() -> bool:
            progress = read_progress(progress_path(self.folder, rank))
            return progress is not None and progress.step == step

        wait_for(there)


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    made = Ranks(tmp_path)
    yield made
    for process in made.processes:
        if process.is_alive():
            process.kill()  # a stopped one too
        process.join()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def spin(watchdog: Watchdog, rank: int) -> None:
    watchdog.mark(Phase.LOADING, 121)
    while True:
        pass


def sleep_on(watchdog: Watchdog, rank: int) -> None:
    watchdog.mark(Phase.TRAINING, 121)
    threading.Event().wait()


def keep_the_interpreter(watchdog: Watchdog, rank: int) -> None:
    watchdog.mark(Phase.TRAINING, 120)
    ctypes.PyDLL(None).sleep(600)  # C code that does not let go of the lock


def test_a_rank_that_spins_is_named_while_the_others_wait_in_gloo(ranks: Ranks) -> None:
    def train(watchdog: Watchdog, rank: int) -> None:
        rendezvous = f"file://{ranks.folder}/rendezvous"
        distributed.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=2)
        for step in (120, 121):
            watchdog.mark(Phase.LOADING, step)
            if (step, rank) == (121, 1):
                spin(watchdog, rank)
            watchdog.mark(Phase.TRAINING, step)
            distributed.all_reduce(torch.ones(4))

    ranks.start(train, train)
    assert (ranks.status(0), ranks.status(1)) == (1, 1)
    verdict = (
        f"rank 1 (process {ranks.pid(1)}) hangs: no progress for 2 s, in step 121 while it waits for a batch; "
        "the others wait for it\n"
    )
    assert ranks.said(1).startswith(verdict + "  ended by trainer.hang_timeout = 2 s")
    assert "in spin\n" in ranks.said(1)  # the stack says where
    # rank 1 ends first, and gloo may then end rank 0 before its watchdog does
    assert ranks.said(0) in ("", f"rank 0 ends: {verdict}")


def test_a_stopped_rank_is_named_by_the_others(ranks: Ranks) -> None:
    def train(watchdog: Watchdog, rank: int) -> None:
        watchdog.mark(Phase.TRAINING, 119 + rank)  # rank 1 is ahead, and yet the one to blame
        threading.Event().wait()

    ranks.start(train, train)
    ranks.reached(1, 120)
    os.kill(ranks.pid(1), signal.SIGSTOP)
    assert ranks.status(0) == 1
    assert f"rank 1 (process {ranks.pid(1)}) hangs: it stopped answering" in ranks.said(0)
    assert "in step 120 while it trains" in ranks.said(0)
    assert "Thread" not in ranks.said(0)  # rank 0's stacks say nothing about it
    assert ranks.processes[1].is_alive()


def test_a_rank_that_keeps_the_interpreters_lock_is_named_by_the_others(ranks: Ranks) -> None:
    ranks.start(sleep_on, keep_the_interpreter)
    assert ranks.status(0) == 1
    assert f"rank 1 (process {ranks.pid(1)}) hangs: it stopped answering" in ranks.said(0)


def test_a_dead_rank_is_named(ranks: Ranks) -> None:
    ranks.start(sleep_on, sleep_on)
    ranks.reached(1, 121)
    os.kill(ranks.pid(1), signal.SIGKILL)
    assert ranks.status(0) == 1
    assert f"rank 1 (process {ranks.pid(1)}) died in step 121 while it trains" in ranks.said(0)


def test_a_rank_that_never_started_is_named(ranks: Ranks) -> None:
    earlier = FORK.Process(target=ProgressFile, args=(progress_path(ranks.folder, 1),))
    earlier.start()
    earlier.join()
    ranks.start(sleep_on, world_size=3)  # rank 1 left its file in an earlier attempt, rank 2 has none
    assert ranks.status(0) == 1
    for rank in (1, 2):
        assert f"rank {rank} has not started: no sign of life since rank 0 started" in ranks.said(0)


def test_ranks_on_other_machines_are_judged_without_their_clocks(ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time

    def settle_in(rank: int) -> None:
        if rank > 0:
            monkeypatch.setattr(platform, "node", lambda: "another")
            monkeypatch.setattr(time, "time", lambda: real() + 30)

    def wait(watchdog: Watchdog, rank: int) -> None:
        watchdog.mark(Phase.LOADING if rank == 1 else Phase.TRAINING, 121)
        threading.Event().wait()

    ranks.settle_in = settle_in
    ranks.start(wait, wait, wait)
    assert ranks.status(0) == 1
    assert ranks.said(0).startswith(f"rank 0 ends: rank 1 (process {ranks.pid(1)}) hangs: no progress for 2 s")


def test_a_rank_killed_on_another_machine_stopped_answering(ranks: Ranks, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks.settle_in = lambda rank: monkeypatch.setattr(platform, "node", lambda: f"machine {rank}")
    ranks.start(sleep_on, sleep_on)
    ranks.reached(1, 121)
    os.kill(ranks.pid(1), signal.SIGKILL)
    assert ranks.status(0) == 1
    assert f"rank 1 (process {ranks.pid(1)}) hangs: it stopped answering" in ranks.said(0)


def test_when_all_stand_at_the_same_place_all_hang(ranks: Ranks) -> None:
    ranks.start(sleep_on, sleep_on)
    for rank in (0, 1):
        assert ranks.status(rank) == 1
        assert ranks.said(rank).startswith("all 2 ranks hang: no progress for 2 s, in step 121 while it trains\n")
        assert "in sleep_on\n" in ranks.said(rank)


def test_a_single_rank_takes_its_loader_workers_along(ranks: Ranks) -> None:
    def load(watchdog: Watchdog, rank: int) -> None:
        worker = FORK.Process(target=time.sleep, args=(600,))
        worker.start()
        (ranks.folder / "worker").write_text(f"{worker.pid} ")
        spin(watchdog, rank)

    ranks.start(load)
    assert ranks.status(0) == 1
    assert ranks.said(0).startswith(f"rank 0 (process {ranks.pid(0)}) hangs: no progress for 2 s, in step 121")
    assert "the others" not in ranks.said(0)
    worker = int((ranks.folder / "worker").read_text())
    wait_for(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)


def test_one_rank_that_makes_progress_keeps_the_run(ranks: Ranks) -> None:
    def save(watchdog: Watchdog, rank: int) -> None:
        for part in range(50):  # more than twice the timeout
            watchdog.mark(Phase.SAVING, part)
            time.sleep(TIMEOUT / 20)
        ranks.gate.set()

    def wait(watchdog: Watchdog, rank: int) -> None:
        watchdog.mark(Phase.TRAINING, 0)
        ranks.gate.wait()

    ranks.start(wait, save)
    assert (ranks.status(0), ranks.status(1)) == (0, 0)
    assert ranks.said(0) == ranks.said(1) == ""


def test_time_in_which_the_process_was_stopped_does_not_count(ranks: Ranks) -> None:
    def wait(watchdog: Watchdog, rank: int) -> None:
        watchdog.mark(Phase.TRAINING, 121)
        ranks.gate.wait()

    ranks.start(wait)
    ranks.reached(0, 121)
    os.kill(ranks.pid(0), signal.SIGSTOP)
    time.sleep(1.5 * TIMEOUT)
    os.kill(ranks.pid(0), signal.SIGCONT)
    time.sleep(TIMEOUT / 4)
    ranks.gate.set()
    assert ranks.status(0) == 0


def test_without_a_timeout_the_marks_remain(ranks: Ranks) -> None:
    def wait(watchdog: Watchdog, rank: int) -> None:
        assert "watchdog" not in [thread.name for thread in threading.enumerate()]
        watchdog.mark(Phase.ENDING, 9)

    ranks.start(wait, timeout=None)
    assert ranks.status(0) == 0, ranks.said(0)
    progress = read_progress(progress_path(ranks.folder, 0))
    assert progress is not None and progress.place == (9, Phase.ENDING)
