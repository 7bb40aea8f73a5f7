"""Real processes, killed with real signals."""

import subprocess
import sys
import time

import psutil
import pytest

from lit_transformer.processes.fork_server import ForkServer
from lit_transformer.processes.ranks import RankGroup, free_port, rank_environments

# What the children run: a module that the fork server imports by name.
TARGETS = """
import os, pathlib, subprocess, sys, time

def write(path):
    pathlib.Path(path).write_text(os.environ.get("RANK", "-") + os.environ.get("WORLD_SIZE", "-"))

def fail(status):
    return int(status)

def crash():
    raise ValueError("crashed on purpose")

def sleep(path):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(path).write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(600)

def answer(connection):
    connection.send(connection.recv() * 2)

def say():
    print("to stdout")
    print("to stderr", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    (folder / "fork_targets.py").write_text(TARGETS)
    sys.path.insert(0, str(folder))
    yield ForkServer([])
    sys.path.remove(str(folder))


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_statuses_logs_pipes_and_environment(server, tmp_path):
    assert server.start("fork_targets:fail", ["0"]).wait(30) == 0
    assert server.start("fork_targets:fail", ["7"]).wait(30) == 7
    log = tmp_path / "log.txt"
    assert server.start("fork_targets:crash", [], log=log).wait(30) == 1
    assert "crashed on purpose" in log.read_text()
    server.start("fork_targets:say", [], log=log).wait(30)
    assert "to stdout" in log.read_text() and "to stderr" in log.read_text()
    child = server.start("fork_targets:answer", [], pipe=True)
    child.connection.send("ab")
    assert child.connection.recv() == "abab"
    server.start("fork_targets:write", [str(tmp_path / "env")], environment={"RANK": "3", "WORLD_SIZE": "4"}).wait(30)
    assert (tmp_path / "env").read_text() == "34"


def test_kill_takes_the_childs_own_children_along(server, tmp_path):
    note = tmp_path / "pids"
    child = server.start("fork_targets:sleep", [str(note)])
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    pids = [int(pid) for pid in note.read_text().split()]
    assert pids[0] == child.pid
    child.kill()
    wait_for(lambda: not any(alive(pid) for pid in pids))


def test_a_child_ends_with_the_process_that_asked_for_it(tmp_path):
    (tmp_path / "fork_targets.py").write_text(TARGETS)
    note = tmp_path / "pids"
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from lit_transformer.processes.fork_server import ForkServer\n"
        "if __name__ == '__main__':\n"
        "    child = ForkServer([]).start('fork_targets:sleep', [sys.argv[2]])\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(note)])
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    pids = [int(pid) for pid in note.read_text().split()]
    server = psutil.Process(pids[0]).parent()
    parent.kill()  # -9: no handler of the parent's can help
    parent.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))
    wait_for(lambda: not alive(server.pid))


def test_a_failed_rank_ends_the_others(server, tmp_path, monkeypatch):
    monkeypatch.setattr("lit_transformer.processes.ranks.GRACE_SECONDS", 0.2)
    good = server.start("fork_targets:sleep", [str(tmp_path / "a")])
    bad = server.start("fork_targets:fail", ["9"])
    group = RankGroup([good, bad])
    assert group.wait() == 9
    assert good.wait(10) is not None
    done = RankGroup([server.start("fork_targets:fail", ["0"]) for _ in range(2)])
    assert done.wait() == 0


def test_rank_environments():
    assert rank_environments(1) == [{}]
    two = rank_environments(2)
    assert [(env["RANK"], env["LOCAL_RANK"], env["WORLD_SIZE"]) for env in two] == [("0", "0", "2"), ("1", "1", "2")]
    assert two[0]["MASTER_PORT"] == two[1]["MASTER_PORT"] != rank_environments(2)[0]["MASTER_PORT"]
    assert 1024 < free_port() < 65536


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
