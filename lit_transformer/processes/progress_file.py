"""How far each rank of a run is, in a small mapped file that outlives the rank and that the others can read."""

import hashlib
import mmap
import os
import platform
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_HEAD = struct.Struct("<qQ")  # pid, machine
_MARK = struct.Struct("<qqqdq")  # changes, step, phase, changed, changes: a torn read has two different counts
_BEAT = struct.Struct("<qd")  # beats, beat
_MARK_AT = _HEAD.size
_BEAT_AT = _MARK_AT + _MARK.size
_SIZE = _BEAT_AT + _BEAT.size
_READS = 5
"""Attempts at a read that no write falls into; a rank killed within a write leaves one that stays torn."""


class Phase(IntEnum):
    """What a rank does in a step, in the order of doing it."""

    STARTING = 0
    LOADING = 1
    TRAINING = 2
    REDUCING = 3  # the backward pass, in which ranks wait for one another's gradients
    VALIDATING = 4
    SAVING = 5
    ENDING = 6


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a rank noted last."""

    pid: int
    machine: int
    """Where `pid` means this process; see machine_id."""
    step: int
    phase: Phase
    changes: int
    """Marks since the rank started."""
    changed: float
    """When the last mark was made, seconds since 1970 by that machine's clock."""
    beats: int
    beat: float
    """When the rank's watchdog last ran, by the same clock."""

    @property
    def place(self) -> tuple[int, Phase]:
        """Step and phase: of two ranks the one with the lower place is behind."""
        return self.step, self.phase

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; False where it runs or cannot be seen from here."""
        return self.machine == machine_id() and not _is_running(self.pid)


class ProgressFile:
    """This process's own file, at `path`; replaces that of an earlier attempt. Raises OSError, such as a full disk."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        self._changes, self._beats = 0, 0
        now = time.time()
        content = _HEAD.pack(os.getpid(), machine_id()) + _MARK.pack(0, 0, Phase.STARTING, now, 0) + _BEAT.pack(0, now)
        # A new file by rename: an earlier attempt's process that still lives has its own, and no reader finds half a
        # file. Written, not only sized: a hole in a mapped file is a SIGBUS on a full disk.
        self._descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(self._descriptor, content)
            self._map = mmap.mmap(self._descriptor, _SIZE)
            os.replace(temporary, path)
        except BaseException:
            os.close(self._descriptor)
            temporary.unlink(missing_ok=True)
            raise

    def mark(self, phase: Phase, step: int) -> None:
        """Note that this rank is now in `phase` of `step`: about a microsecond, no system call."""
        self._changes += 1
        # not pack_into: it may clear the place first, which a reader or a kill could then find
        self._map[_MARK_AT:_BEAT_AT] = _MARK.pack(self._changes, step, phase, time.time(), self._changes)

    @property
    def changes(self) -> int:
        """Marks made so far."""
        return self._changes

    def beat(self, *, flush: bool = False) -> None:
        """Note that this process runs; `flush` carries the file to a server, for readers on other machines."""
        self._beats += 1
        self._map[_BEAT_AT:_SIZE] = _BEAT.pack(self._beats, time.time())
        if flush:
            with suppress(OSError):  # a full or absent server: the training may still be well
                os.fsync(self._descriptor)  # mmap.flush would hold the interpreter's lock, and training, meanwhile

    def close(self) -> None:
        """Unmap the file, which stays as it is; nothing may be marked afterwards."""
        if not self._map.closed:
            self._map.close()
            os.close(self._descriptor)


def progress_path(folder: Path, rank: int) -> Path:
    """Where a rank of the run in `folder` keeps its file."""
    return folder / "ranks" / str(rank)


def read_progress(path: Path) -> Progress | None:
    """What a living or dead process left at `path`; None where there is no file of that kind."""
    for _ in range(_READS):
        try:
            content = path.read_bytes()  # opened anew: on NFS that is what makes another machine's writes visible
        except OSError:
            return None
        if len(content) != _SIZE:
            return None
        first, *_, last = _MARK.unpack_from(content, _MARK_AT)
        if first == last:
            break
    pid, machine = _HEAD.unpack_from(content)
    changes, step, phase, changed, _ = _MARK.unpack_from(content, _MARK_AT)
    beats, beat = _BEAT.unpack_from(content, _BEAT_AT)
    if phase not in Phase.__members__.values():
        return None
    return Progress(
        pid=pid,
        machine=machine,
        step=step,
        phase=Phase(phase),
        changes=changes,
        changed=changed,
        beats=beats,
        beat=beat,
    )


def machine_id() -> int:
    """A number for this machine, this boot and this process namespace: only there a pid means the same process."""
    parts = [platform.node()]
    with suppress(OSError):  # not Linux: the name alone
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return int.from_bytes(hashlib.blake2b(" ".join(parts).encode(), digest_size=8).digest(), "little")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # not ours to signal, but there
        return True
    with suppress(OSError, IndexError):  # ended, and not yet collected by its parent
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
    return True
