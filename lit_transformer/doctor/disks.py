"""The folders that runs write to: room, rights, locks, speed."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lit_transformer.data.cache import CACHE_VARIABLE, cache_root
from lit_transformer.doctor.check import GIB, Check, State, gib
from lit_transformer.records.locks import FileLock

LITTLE, COMFORTABLE = 1 * GIB, 10 * GIB
"""Bytes: below the first a run's checkpoints may not fit, below the second a sweep's."""

SHARED = Path("/dev/shm")
SHARED_LITTLE, SHARED_COMFORTABLE = 64 * 2**20, 1 * GIB
"""Bytes of shared memory: a container's usual 64 MiB is enough for text, images in loader workers need more."""

WRITTEN = 64 * 2**20
"""Bytes of the speed test."""
SLOW = 20e6
"""Bytes/s; below it a checkpoint of a small model takes seconds."""


def disks(output: Path) -> Iterator[Check]:
    """Output root, data cache, temporary files, shared memory, locks and speed of the output root."""
    runs = folder("output folder", output, fix="choose another with --output", notes="")
    yield runs
    yield folder("data cache", cache_root(), fix=f"set {CACHE_VARIABLE} to a folder on another disk", notes="")
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield Check(name="TMPDIR", state="problem", found=f"{error}", fix="set TMPDIR to a folder that you can write")
    else:
        notes = ""
        if not _same_disk(temporary, output):
            notes = "another file system than the output folder's, which is fine: nothing is moved between them"
        yield folder("TMPDIR", temporary, fix="set TMPDIR to a folder on another disk", notes=notes)
    yield shared_memory(SHARED)
    if runs.state != "problem":
        yield locks(nearest(output))
        yield speed(nearest(output))


def folder(name: str, path: Path, *, fix: str, notes: str, little: int = LITTLE) -> Check:
    """Whether a folder, or the nearest one above it that exists, can be written and has room for `little` bytes."""
    place = nearest(path)
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"x" * 2**16)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check(name=name, state="problem", found=f"{path}: {place}: {error.strerror}", fix=fix)
    free = shutil.disk_usage(place).free
    found = ", ".join([f"{path.absolute()}: {gib(free)} free", *([notes] if notes else [])])
    if free >= COMFORTABLE:
        return Check(name=name, state="ok", found=found)
    return Check(name=name, state="problem" if free < little else "warning", found=found, fix=f"free some, or {fix}")


def shared_memory(path: Path) -> Check:
    """Where loader workers put batches."""
    name, fix = "shared memory", "give the container more (docker run --shm-size=8g), or set data.loader_workers=0"
    if not path.is_dir():
        return Check(name=name, state="ok", found=f"this system has no {path}")
    try:
        with tempfile.NamedTemporaryFile(dir=path):
            pass
    except OSError as error:
        return Check(name=name, state="problem", found=f"{path}: {error.strerror}", fix=fix)
    total = shutil.disk_usage(path).total
    state: State = "ok" if total >= SHARED_COMFORTABLE else "warning" if total >= SHARED_LITTLE else "problem"
    return Check(name=name, state=state, found=f"{path}: {gib(total)}", fix="" if state == "ok" else fix)


def locks(place: Path) -> Check:
    """Whether the file system keeps a second writer out."""
    name, fix = "locks", "choose a folder on a file system with locks (mount NFS without nolock) with --output"
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as temporary:
        first, second = FileLock(Path(temporary) / "lock"), FileLock(Path(temporary) / "lock")
        try:
            held, twice = first.acquire(), second.acquire()
        except OSError as error:
            return Check(name=name, state="problem", found=f"flock in {place}: {error.strerror}", fix=fix)
        finally:
            first.release()
            second.release()
    if held and not twice:
        return Check(name=name, state="ok", found="flock works in the output folder")
    return Check(name=name, state="problem", found=f"flock in {place} lets two writers in", fix=fix)


def speed(place: Path) -> Check:
    """How fast a file is written and synced."""
    block = os.urandom(2**20)  # some file systems compress
    with tempfile.NamedTemporaryFile(dir=place) as file:
        start = time.perf_counter()
        for _ in range(WRITTEN // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        rate = WRITTEN / (time.perf_counter() - start)
    found = f"{rate / 1e6:.0f} MB/s to the output folder, written and synced"
    slow = rate < SLOW
    fix = "write checkpoints seldom, or choose a faster disk with --output" if slow else ""
    return Check(name="disk speed", state="warning" if slow else "ok", found=found, fix=fix)


def nearest(path: Path) -> Path:
    """The path, or the nearest one above it that exists."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if place.exists())


def _same_disk(one: Path, other: Path) -> bool:
    return nearest(one).stat().st_dev == nearest(other).stat().st_dev
