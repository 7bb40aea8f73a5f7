"""Saves that fail, by a full disk, a failing one or a writer of their own: nothing good is lost, nothing half stays."""

import errno
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lit_transformer.records.atomic import is_full
from lit_transformer.records.checkpoints import BEST, LAST, CheckpointFolder
from tests.records.power_cut import Call, watched
from tests.records.saved import names, newest, save, step_in

pytestmark = pytest.mark.timeout(300)


def failure(action: Callable[[], object]) -> OSError | None:
    """The OSError of `action`, torch's RuntimeError not among them."""
    try:
        action()
    except OSError as error:
        return error
    return None


@pytest.mark.parametrize("name", [LAST, BEST])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_any_call_may_fail(tmp_path, name, code):
    """Whichever call fails, its error passes through, nothing temporary stays, and what was good stays good."""
    failures = 0
    for number in range(100):
        folder = CheckpointFolder(tmp_path / str(number))
        for step in (1, 2):
            save(folder, step)
            save(folder, step, BEST)
        calls = 0

        def fail(call: object, number: int = number) -> None:
            nonlocal calls
            calls += 1
            if calls == number + 1:
                raise OSError(code, os.strerror(code))

        with watched(folder.path, before=fail, after=lambda call: None):
            error = failure(lambda folder=folder: save(folder, 3, name))
        assert error is None or error.errno == code
        failures += error is not None
        last, best = newest(folder)[0], folder.best(lambda line: None)
        assert step_in(last.path) == last.entry.step in {2, 3} and step_in(best.path) == best.entry.step in {2, 3}
        assert best.entry.name == BEST and not [item for item in names(folder) if item.startswith(".")]
        save(folder, 4, name)
        assert folder.newest(pytest.fail).entry.step == (4 if name == LAST else 2)
        if calls <= number:
            break
    assert 10 < failures < 40


@pytest.mark.parametrize("number", [1, 2, 3])
def test_torch_does_not_hide_a_full_disk(folder, number):
    """Its writer says RuntimeError: unexpected pos."""
    writes = 0

    def fail(call: Call) -> None:
        nonlocal writes
        if call.name == "write":
            writes += 1
            if writes == number:
                raise OSError(errno.ENOSPC, "No space left on device")

    before = names(folder)
    with watched(folder.path, before=fail, after=lambda call: None):
        error = failure(lambda: save(folder, 40, content=torch.zeros(3_000_000)))
    assert error is not None and error.errno == errno.ENOSPC and writes == number
    assert names(folder) == before and folder.newest(pytest.fail).entry.step == 30


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    run = [] if os.geteuid() == 0 else ["sudo", "-n"]
    mounted = subprocess.run(
        [*run, "mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", disk],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small disk needs root: {mounted.stderr}")  # fails in CI
    yield disk
    subprocess.run([*run, "umount", disk], check=True)


def test_a_disk_full_at_every_write(small_disk):
    folder = CheckpointFolder(small_disk / "checkpoints")
    content = torch.arange(40_000, dtype=torch.float32)
    for step in (1, 2):
        save(folder, step, content=content)
    filler, errors = small_disk / "filler", 0
    page = os.statvfs(small_disk).f_frsize
    free = os.statvfs(small_disk).f_bavail
    for left in range(free):
        filler.write_bytes(bytes((free - left) * page))
        assert os.statvfs(small_disk).f_bavail == left
        error = failure(lambda: save(folder, 3, content=content))
        if error is None:
            break
        assert error.errno == errno.ENOSPC and is_full(error)
        errors += 1
        assert names(folder) == {LAST, "step-1.ckpt"} and folder.newest(pytest.fail).entry.step == 2
        filler.unlink()
    assert errors > 30 and folder.newest(pytest.fail).entry.step == 3 and names(folder) == {LAST, "step-2.ckpt"}


def test_a_disk_that_takes_no_writes(small_disk):
    folder = CheckpointFolder(small_disk / "checkpoints")
    for step in (1, 2):
        save(folder, step)
    run = [] if os.geteuid() == 0 else ["sudo", "-n"]
    subprocess.run([*run, "mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only"):
        save(folder, 3)
    assert folder.newest(pytest.fail).entry.step == 2 and names(folder) == {LAST, "step-1.ckpt"}


def test_a_writer_that_fails_leaves_nothing(folder):
    before = names(folder)

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.save(LAST, fail, step=40, resumable=True, facts={})
    assert names(folder) == before and folder.newest(pytest.fail).entry.step == 30


def test_what_a_failed_save_buffered_goes_into_no_other_file(folder, tmp_path):
    files: list[io.BufferedWriter] = []

    def fail(file: io.BufferedWriter) -> None:
        file.write(b"half")
        files.append(file)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.save(LAST, fail, step=40, resumable=True, facts={})
    others = [(tmp_path / str(number)).open("wb", buffering=0) for number in range(20)]  # one has its descriptor now
    files[0].close()  # as the collector does
    for other in others:
        other.close()
        assert Path(other.name).stat().st_size == 0
