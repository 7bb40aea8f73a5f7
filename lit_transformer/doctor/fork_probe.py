"""Starts two children of a fork server that holds what trials import; `services.py` runs it as a process."""

import os
import time
from importlib import import_module

from lit_transformer.doctor.probe import answer
from lit_transformer.processes.fork_server import ForkServer
from lit_transformer.processes.trial import PRELOAD


def main() -> None:
    """Answer the step fork: seconds from nothing to the end of a first child, and of a second."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    server, seconds = ForkServer(PRELOAD), []
    for _ in range(2):
        start = time.perf_counter()
        status = server.start(f"{__spec__.name}:ready", []).wait()
        seconds.append(time.perf_counter() - start)
        if status:
            raise SystemExit(status)  # the child's traceback is on standard error
    answer("fork", {"cold": seconds[0], "warm": seconds[1]})


def ready() -> int:
    """A child: everything that a trial imports is there."""
    for module in PRELOAD:
        import_module(module)  # the server passes over what it cannot import
    return 0


if __name__ == "__main__":
    main()
