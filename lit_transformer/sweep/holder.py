"""Who holds a claim, and whether it lives."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil


@dataclass(frozen=True)
class Holder:
    """A process on a machine; `started` tells it from a later process with the same number."""

    worker: str
    host: str
    pid: int
    started: float

    @classmethod
    def here(cls, worker: str) -> Self:
        """This process."""
        return cls(worker, host(), os.getpid(), started(os.getpid()))

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """A holder from a claim's content; raises KeyError, TypeError or ValueError where it is damaged."""
        return cls(str(value["worker"]), str(value["host"]), int(str(value["pid"])), float(str(value["started"])))

    def to_json(self) -> dict[str, object]:
        """The content of a claim."""
        return asdict(self)

    def is_alive(self) -> bool | None:
        """Whether the process lives; None where it cannot be seen from here."""
        if self.host != host():
            return None
        try:
            zombie = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return not zombie and started(self.pid) == self.started
        except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            return False
        except (psutil.AccessDenied, PermissionError):
            return None


def started(pid: int) -> float:
    """When a process started: clock ticks since boot on Linux, else seconds since 1970. Raises OSError or psutil.Error.

    psutil gives Linux's seconds too, but derives them from the wall clock, so that a corrected clock changes them.
    """
    if not Path("/proc/self/stat").exists():
        return psutil.Process(pid).create_time()
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return float(text.rpartition(")")[2].split()[19])  # the name in parentheses may hold anything


def host() -> str:
    """This machine, this boot and this process namespace: only there does a process number mean the same process."""
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux: the name alone
        pass
    return " ".join(parts)
