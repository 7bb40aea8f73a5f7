"""Another user's view of a folder: for root, permissions mean nothing, and CI's tests run as root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def as_stranger() -> Iterator[None]:
    """Go on as a user without rights, where the process is root's; anybody else stays who they are."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def closed(path: Path) -> None:
    """Take every right to a path away; by root's leave where the test became somebody else."""
    user = os.geteuid()
    os.seteuid(os.getuid())
    path.chmod(0)
    os.seteuid(user)
