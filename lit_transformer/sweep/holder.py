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
        return cls(worker, host(), os.getpid(), psutil.Process().create_time())

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
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return None


def host() -> str:
    """This machine, this boot and this process namespace: only there does a process number mean the same process."""
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:  # not Linux: the name alone
        pass
    return " ".join(parts)
