"""How the children of gpu.py talk to it: a line of JSON for each thing that they know."""

import ctypes
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def say(**what: object) -> None:
    """One line to gpu.py."""
    print(json.dumps(what), flush=True)


@contextmanager
def turn() -> Iterator[None]:
    """Within it nobody else computes on the device."""
    say(wants="turn")
    if sys.stdin.readline().strip() != "go":
        raise SystemExit("gpu.py is gone")
    try:
        yield
    finally:
        say(over="turn")


def end_with_parent() -> None:
    """Let the kernel kill this process when gpu.py ends, also while it is stopped and holds memory of the GPU."""
    with suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def reason(error: Exception) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
