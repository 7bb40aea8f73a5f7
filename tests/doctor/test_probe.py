"""A probe that crashes, hangs or says nothing is an answer."""

import time

import psutil
import pytest

from lit_transformer.doctor.networks import networks
from lit_transformer.doctor.probe import probe
from lit_transformer.doctor.services import fork_server

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that a probe can run, or one that stands before the real one."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return make


FIRST = "from lit_transformer.doctor.probe import answer\nanswer('first', {'found': 1})\n"


def test_what_a_probe_said_before_it_crashed_holds(module):
    answers = probe(module("crashing", FIRST + "import os; os.abort()"), timeout=60)
    assert answers.get("first") == {"step": "first", "found": 1}
    assert answers.get("second") == {"error": "died of SIGABRT"}
    answers = probe(module("raising", FIRST + "raise OSError('no such thing')"), timeout=60)
    assert answers.get("second") == {"error": "ended with status 1: OSError: no such thing"}


def test_a_probe_that_hangs_is_killed_with_its_children(module, tmp_path):
    note = tmp_path / "pid"
    text = (
        f"import pathlib, subprocess, time\nhelper = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(helper.pid))\ntime.sleep(600)\n"
    )
    answers = probe(module("hanging", FIRST + text), timeout=5)
    assert answers.get("first")["found"] == 1
    assert answers.get("second") == {"error": "did not answer within 5 s"}
    deadline = time.monotonic() + 30
    while alive(int(note.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_torch_that_crashes_is_a_line(module):
    module("torch", "import os; os.kill(os.getpid(), 11)")
    [check] = networks()
    assert (check.name, check.state, check.found) == ("torch", "problem", "import: died of SIGSEGV")
    [check] = fork_server()
    assert check.state == "problem" and check.fix


def test_a_fork_server_that_hangs(module, monkeypatch):
    module("torch", "import time; time.sleep(600)")
    monkeypatch.setattr("lit_transformer.doctor.services.FORK_TIMEOUT", 5.0)
    [check] = fork_server()
    assert check.state == "problem" and "did not answer within 5 s" in check.found


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
