"""Measurements in processes of their own: none finds the memory, or the threads, that another left behind.

How fast a step is depends on what the C library's heap has been through: after other networks a peer is faster than in
the process that its user would start.
"""

import gc
import multiprocessing
import traceback
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
FORK = multiprocessing.get_context("fork")


def apart(measure: Callable[[], Result]) -> Result:
    """What `measure` gives in a fork of this process, which has imported everything and must have computed nothing.

    Raises RuntimeError with the child's own words where it fails.
    """
    gc.freeze()  # else the child's collector walks over all that was imported, and so copies its pages
    receive, send = FORK.Pipe(duplex=False)

    def run() -> None:
        try:
            found: tuple[Result | None, str] = (measure(), "")
        except Exception:
            found = (None, traceback.format_exc())
        send.send(found)
        send.close()

    process = FORK.Process(target=run)
    process.start()
    send.close()
    try:
        result, error = receive.recv()
    except EOFError:
        result, error = None, "it ended without a word"
    except BaseException:  # Ctrl-C
        process.terminate()
        raise
    process.join()
    if error:
        raise RuntimeError(f"a measurement failed (exit status {process.exitcode}):\n{error}")
    return result
