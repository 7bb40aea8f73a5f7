"""What every check gives."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]
"""A problem breaks runs; a warning makes them slower or less safe, or breaks some."""

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    state: State
    found: str
    fix: str = ""
    """What to do; every problem has one."""

    def __str__(self) -> str:
        found = " ".join(self.found.split())  # a message of several lines stays one
        return f"{self.state:<7}  {self.name:<16} {found}" + (f"; fix: {self.fix}" if self.fix else "")


def gib(size: float) -> str:
    """Bytes as GiB, or as MiB below one."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
