"""Groups of ranks that fail: real children, real signals, and what the group says of them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lit_transformer.processes.fork_server import Child, ForkServer
from lit_transformer.processes.ranks import SERVER_DIED, RankGroup
from tests.waiting import alive, wait_for

pytestmark = pytest.mark.timeout(120)

TARGETS = """
import os, pathlib, signal, subprocess, sys, time

def end(status, path=None):
    while path and not os.path.exists(path):
        time.sleep(0.01)
    return int(status)

def die(number):
    os.kill(os.getpid(), int(number))

def sleep(path=None):
    if path:
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path(path).write_text(f"{helper.pid} ")
    time.sleep(600)

def leave_a_helper(path, status):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(path).write_text(f"{helper.pid} ")
    return int(status)
"""

Start = Callable[..., Child]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    folder = tmp_path_factory.mktemp("targets")
    (folder / "rank_targets.py").write_text(TARGETS)
    sys.path.insert(0, str(folder))
    yield ForkServer([])
    sys.path.remove(str(folder))


@pytest.fixture
def start(server: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr("lit_transformer.processes.ranks.GRACE_SECONDS", 0.3)
    made: list[Child] = []

    def start(target: str, *arguments: object) -> Child:
        made.append(server.start(f"rank_targets:{target}", [str(argument) for argument in arguments]))
        return made[-1]

    yield start
    for child in made:
        child.kill()


def ended(children: list[Child]) -> None:
    wait_for(lambda: all(child.poll() is not None for child in children))


def test_all_well(start: Start) -> None:
    group = RankGroup([start("end", 0), start("end", 0)])
    assert group.wait() == 0
    assert (group.reason, group.failed_ranks) == ("", ())


def test_a_killed_rank_is_named_and_the_others_end_with_it(start: Start) -> None:
    group = RankGroup([start("sleep"), start("die", signal.SIGKILL), start("sleep")])
    assert group.wait() == -signal.SIGKILL
    assert group.failed_ranks == (1,)
    assert group.reason == "rank 1 of 3 was ended by SIGKILL; ranks 0, 2 were ended with it"
    assert group.poll() == -signal.SIGKILL


def test_a_single_rank(start: Start) -> None:
    group = RankGroup([start("end", 1)])
    assert group.wait() == 1
    assert (group.failed_ranks, group.reason) == ((0,), "rank 0 ended with exit status 1")


def test_of_several_at_once_the_killed_one_counts(start: Start) -> None:
    children = [start("end", 1), start("die", signal.SIGSEGV), start("end", 2)]
    ended(children)
    group = RankGroup(children)
    assert group.wait() == -signal.SIGSEGV
    assert group.failed_ranks == (1,)
    assert group.reason == (
        "rank 1 of 3 was ended by SIGSEGV; rank 0 ended with exit status 1 after it; "
        "rank 2 ended with exit status 2 after it"
    )


def test_ranks_that_fail_alike_are_named_together(start: Start) -> None:
    children = [start("end", 143), start("end", 143)]
    ended(children)
    group = RankGroup(children)
    assert group.wait() == 143
    assert (group.failed_ranks, group.reason) == ((0, 1), "ranks 0, 1 of 2 ended with exit status 143")


def test_the_first_to_fail_stays_the_first(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_transformer.processes.ranks.GRACE_SECONDS", 60)
    group = RankGroup([start("end", 1, tmp_path / "go"), start("end", 3)])
    wait_for(lambda: group.poll() is None and group.failed_ranks == (1,))
    (tmp_path / "go").touch()
    assert group.wait() == 3
    assert group.reason == "rank 1 of 2 ended with exit status 3; rank 0 ended with exit status 1 after it"


@pytest.mark.parametrize("status", [0, 1])
def test_what_a_rank_left_running_ends_with_it(status: int, start: Start, tmp_path: Path) -> None:
    group = RankGroup([start("leave_a_helper", tmp_path / "pid", status)])
    assert group.wait() == status
    helper = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(helper))


def test_an_ended_ranks_number_is_left_alone(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be another process's by then; a process that leads a group of that number would be killed."""
    group = RankGroup([start("end", 0)])
    assert group.wait() == 0
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as innocent:
        monkeypatch.setattr(Child, "pid", innocent.pid)
        group.kill()
        assert group.poll() == 0
        time.sleep(0.2)
        assert innocent.poll() is None
        innocent.kill()


def test_a_killed_fork_server_ends_its_ranks(start: Start, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    group = RankGroup([start("sleep", note), start("sleep")])
    wait_for(lambda: note.exists() and note.read_text().endswith(" "))
    server = psutil.Process(group.pids[0]).ppid()
    assert server != os.getpid()
    os.kill(server, signal.SIGKILL)
    assert group.wait() == SERVER_DIED
    assert group.reason == "the fork server was killed; ranks 0, 1 were ended with it"
    assert group.failed_ranks
    pids = [*group.pids, int(note.read_text())]
    wait_for(lambda: not any(alive(pid) for pid in pids))
    assert RankGroup([start("end", 4)]).wait() == 4  # the next trial has a new server
