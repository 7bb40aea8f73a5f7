"""A save that is killed, or whose machine loses power, at any moment leaves a good checkpoint."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lit_transformer.records import atomic
from lit_transformer.records.checkpoints import BEST, LAST, CheckpointFolder, Entry
from tests.records.power_cut import WATCHED, Call, assert_survives_power_cuts, record_saves, watched

pytestmark = pytest.mark.timeout(300)

SIZE = 300_000
"""Floats of a checkpoint: several writes."""
CONTENTS = {step: {"step": torch.tensor(step), "weights": torch.full((SIZE,), float(step))} for step in range(6)}


def save(folder: CheckpointFolder, name: str, step: int) -> Entry:
    content = {"name": name, **CONTENTS[step]}
    return folder.save(
        name, lambda file: torch.save(content, file), step=step, resumable=name == LAST, facts={"step": step}
    )


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system than pytest's."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


def killed_at(number: int, folder: Path, action: Callable[[], object]) -> bool:
    """Run `action` in a child that kills itself at moment `number` (each call has one before and one after it).

    Returns whether it came to that moment.
    """
    child = os.fork()
    if child == 0:
        moments = 0

        def moment(call: Call) -> None:
            nonlocal moments
            if moments == number:
                os.kill(os.getpid(), signal.SIGKILL)
            moments += 1

        status = 1
        try:
            with watched(folder, moment, moment):
                action()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def assert_whole(path: Path, steps: set[int]) -> int:
    content = torch.load(path, map_location="cpu", weights_only=True)
    step = int(content["step"])
    assert step in steps and torch.equal(content["weights"], CONTENTS[step]["weights"])
    return step


@pytest.mark.parametrize(
    ("temporary", "name", "keep", "earlier"),
    [
        ("same", LAST, 2, [1, 2]),
        ("other", LAST, 2, [1, 2]),
        ("same", BEST, 2, [1, 2]),
        ("other", LAST, 1, [1]),
        ("same", LAST, 2, []),
    ],
)
def test_killed_before_and_after_every_call(tmp_path, elsewhere, monkeypatch, temporary, name, keep, earlier):
    monkeypatch.setenv("TMPDIR", str(elsewhere if temporary == "other" else tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    model = CheckpointFolder(tmp_path / "model", keep=keep)
    for step in earlier:
        save(model, LAST, step)
        save(model, BEST, step)
    number, went_on, after = 0, True, set()
    while went_on:
        path = tmp_path / f"run-{number}" / "checkpoints"
        if earlier:
            shutil.copytree(model.path, path)
        else:
            path.parent.mkdir()
        folder = CheckpointFolder(path, keep=keep)
        went_on = killed_at(number, path, lambda folder=folder: save(folder, name, 3))
        lines: list[str] = []
        folder = CheckpointFolder(path, keep=keep)
        newest, best = folder.newest(lines.append), folder.best(lines.append)
        if earlier:
            assert newest is not None and best is not None
            assert assert_whole(newest.path, {2, 3} if earlier == [1, 2] else {1, 3}) == newest.entry.step
            assert assert_whole(best.path, {earlier[-1], 3}) == best.entry.step
            assert best.entry.name == BEST and not best.entry.resumable  # exact: never a mere stand-in
            after.add(newest.entry.step if name == LAST else best.entry.step)
        for file in path.glob("*.ckpt"):
            assert_whole(file, {1, 2, 3})
        folder.clean()
        assert not list(path.glob(".*"))
        assert save(folder, LAST, 4) and save(folder, BEST, 4)
        assert assert_whole(folder.newest(pytest.fail).path, {4}) == assert_whole(folder.best(pytest.fail).path, {4})
        assert len(list(path.glob("*.ckpt"))) <= keep + 1
        shutil.rmtree(path.parent)
        number += 1
    assert number > 30
    assert not earlier or after == {earlier[-1], 3}  # both sides of the moment from which the new one counts
    assert not os.listdir(elsewhere)


SCRIPT = """
import json, sys
from pathlib import Path
from lit_transformer.records.checkpoints import CheckpointFolder
from tests.records.power_cut import watched

path, calls = Path(sys.argv[1]), []
folder = CheckpointFolder(path, keep=2)
with watched(path, lambda call: None, calls.append):
    for step in range(4):
        for name in ("last.ckpt", "best.ckpt"):
            content = bytes([step]) * 3_000_000 + name.encode()
            folder.save(name, lambda file: file.write(content), step=step, resumable=name == "last.ckpt", facts={})
for call in calls:
    print(call.name, call.path)
"""
READING = {
    "stat", "lstat", "newfstatat", "fstat", "fstatfs", "statx", "access", "faccessat", "faccessat2", "readlink", "read",
    "pread64", "lseek", "getdents64", "ioctl", "fcntl", "mmap", "execve", "chdir", "getcwd", "close",
}  # fmt: skip
SAME = {"rename": "replace", "renameat": "replace", "renameat2": "replace", "unlinkat": "unlink", "openat": "open"}


def test_the_watched_calls_are_all_that_change_the_folder(tmp_path):
    """strace, which sees everything, counts the same calls."""
    folder, trace = tmp_path / "checkpoints", tmp_path / "trace"
    command = ["strace", "-f", "-y", "-qq", "-s", "0", "-e", "trace=%file,%desc", "-o", trace]
    done = subprocess.run(
        [*command, sys.executable, "-c", SCRIPT, folder], capture_output=True, text=True, check=True, timeout=120
    )
    recorded = Counter(line.split(" ")[0] for line in done.stdout.splitlines())
    traced: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        found = re.match(r"\d+\s+(\w+)\((.*)", line)
        if found is None or str(folder) not in line or "execve" in line:
            continue
        name, arguments = found.groups()
        if name in READING or (name == "openat" and "O_CREAT" not in arguments):
            continue
        traced[SAME.get(name, name)] += 1
    opened = sum(line.startswith("open .") for line in done.stdout.splitlines())  # temporary files; reads also open
    del recorded["close"], recorded["open"]
    assert traced == Counter({**recorded, "open": opened})
    assert min(traced[name] for name in set(WATCHED) - {"close"}) > 0


def saves(folder: CheckpointFolder) -> list[Callable[[], Entry]]:
    """A new last.ckpt, a new best.ckpt, and a lower step after a fallback."""
    return [
        lambda: save(folder, LAST, 3),
        lambda: save(folder, BEST, 3),
        lambda: save(folder, LAST, 4),
        lambda: save(folder, LAST, 2),
    ]


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("earlier", [[], [0], [0, 1]])
def test_power_cuts(tmp_path, monkeypatch, keep, earlier):
    monkeypatch.setitem(globals(), "CONTENTS", {step: {"step": step} for step in range(6)})
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=keep)
    folder.path.mkdir()
    for step in earlier:
        save(folder, LAST, step)
        save(folder, BEST, step)
    record = record_saves(folder, saves(folder))
    (tmp_path / "left").mkdir()
    assert assert_survives_power_cuts(record, tmp_path / "left") > 50


def no_fsync(descriptor: int) -> None:
    """What takes the place of os.fsync."""


def no_sync_folder(folder: Path) -> None:
    """What takes the place of sync_folder."""


@pytest.mark.parametrize(
    "sabotage",
    [(os, "fsync", no_fsync), (sys.modules[CheckpointFolder.__module__], "sync_folder", no_sync_folder)],
    ids=["fsync", "sync_folder"],
)
def test_the_proof_fails_without_flushes(tmp_path, monkeypatch, sabotage):
    monkeypatch.setitem(globals(), "CONTENTS", {step: {"step": step} for step in range(6)})
    folder = CheckpointFolder(tmp_path / "checkpoints")
    for step in (0, 1):
        save(folder, LAST, step)
        save(folder, BEST, step)
    with monkeypatch.context() as patch:
        patch.setattr(*sabotage)
        record = record_saves(folder, [lambda: save(folder, LAST, 3)])
    (tmp_path / "left").mkdir()
    with pytest.raises(AssertionError, match="power cut before call"):
        assert_survives_power_cuts(record, tmp_path / "left")
    assert atomic.sync_folder is not no_sync_folder
