"""Progress files, written by real processes that are killed, and read while they are written."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from lit_transformer.processes.progress_file import (
    Phase,
    Progress,
    ProgressFile,
    machine_id,
    progress_path,
    read_progress,
)

pytestmark = pytest.mark.timeout(120)
FORK = multiprocessing.get_context("fork")


def mark_for_ever(path: Path) -> None:
    file, step = ProgressFile(path), 0
    while True:
        step += 1
        file.mark(Phase(step % 6), step)


def start(target: Callable[[Path], None], path: Path) -> BaseProcess:
    process = FORK.Process(target=target, args=(path,), daemon=True)
    process.start()
    return process


def read(path: Path) -> Progress:
    progress = read_progress(path)
    assert progress is not None
    return progress


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_marks_and_beats(tmp_path: Path) -> None:
    before = time.time()
    file = ProgressFile(progress_path(tmp_path, 1))
    made = read(tmp_path / "ranks" / "1")
    assert (made.pid, made.machine, made.place, made.changes) == (os.getpid(), machine_id(), (0, Phase.STARTING), 0)
    file.mark(Phase.SAVING, 7)
    file.beat()
    file.beat(flush=True)
    found = read(tmp_path / "ranks" / "1")
    assert (found.place, found.changes, found.beats) == ((7, Phase.SAVING), 1, 2)
    assert before <= found.changed <= found.beat <= time.time()
    assert not found.is_dead()
    file.close()
    file.close()
    assert read(tmp_path / "ranks" / "1") == found
    assert os.listdir(tmp_path / "ranks") == ["1"]


def test_a_reader_never_sees_half_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "0"
    writer = start(mark_for_ever, path)
    wait_for(lambda: read_progress(path) is not None and read(path).changes > 0)
    steps: set[int] = set()  # on a busy machine the two take turns, and most reads find the same mark
    deadline = time.monotonic() + 60
    while len(steps) < 100:
        assert time.monotonic() < deadline, f"only {len(steps)} marks were seen"
        for _ in range(1000):
            found = read(path)
            assert found.step == found.changes and found.phase == found.step % 6
            steps.add(found.step)
    writer.kill()
    writer.join()


def test_a_kill_leaves_the_last_mark(tmp_path: Path) -> None:
    path = tmp_path / "0"
    writer = start(mark_for_ever, path)
    wait_for(lambda: read_progress(path) is not None and read(path).changes > 1000)
    assert not read(path).is_dead()
    before = read(path).changes
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    wait_for(lambda: read(path).is_dead())  # as a zombie too: nobody has waited for it yet
    writer.join()
    left = read(path)
    assert left.is_dead() and left.pid == writer.pid
    assert left.changes == left.step >= before


def test_a_new_attempt_has_a_file_of_its_own(tmp_path: Path) -> None:
    earlier = ProgressFile(tmp_path / "0")
    earlier.mark(Phase.TRAINING, 50)
    later = ProgressFile(tmp_path / "0")
    assert read(tmp_path / "0").place == (0, Phase.STARTING)
    earlier.mark(Phase.TRAINING, 51)  # a process that was thought dead
    later.mark(Phase.LOADING, 3)
    assert read(tmp_path / "0").place == (3, Phase.LOADING)


def test_a_process_on_another_machine_is_not_taken_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = start(ProgressFile, tmp_path / "0")
    gone.join()
    assert read(tmp_path / "0").is_dead()
    monkeypatch.setattr("platform.node", lambda: "another")
    assert not read(tmp_path / "0").is_dead()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 72, b"x" * 100])
def test_damaged_and_missing_files_are_none(content: bytes, tmp_path: Path) -> None:
    assert read_progress(tmp_path / "none") is None
    (tmp_path / "0").write_bytes(content)
    assert read_progress(tmp_path / "0") is None


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "in the way").touch()
    descriptors = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with pytest.raises(OSError, match="irectory"):
        ProgressFile(tmp_path / "0")
    assert os.listdir(tmp_path) == ["0"]
    assert not descriptors or len(os.listdir("/proc/self/fd")) == descriptors
