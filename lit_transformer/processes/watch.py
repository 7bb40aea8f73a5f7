"""A process that ends with its parent, however the parent ends."""

import os
import signal
import threading
import time
from multiprocessing import parent_process
from multiprocessing.connection import wait


def end_with_parent(grace: float = 0.0) -> None:
    """Kill this process's group as soon as the process that asked the fork server for it is gone, or `grace` s later.

    The pipe that multiprocessing keeps open between the two closes with the parent, even on kill -9; PR_SET_PDEATHSIG
    would watch the fork server instead, which outlives the parent. The process must lead its own group, since loader
    workers die with it.
    """
    parent = parent_process()
    if parent is None:
        raise RuntimeError("end_with_parent is for children of a fork server")
    _kill_group_when_closed(parent.sentinel, grace)


def end_with_stdin() -> None:
    """Kill this process's group as soon as standard input closes, which the parent holds open and never writes to."""
    _kill_group_when_closed(0)


def _kill_group_when_closed(descriptor: int, grace: float = 0.0) -> None:
    def watch() -> None:
        wait([descriptor])
        time.sleep(grace)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
