"""Children that start in milliseconds: forked from a server that has already imported what they need."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType

from lit_transformer.processes.watch import end_with_parent

LAST_SECONDS = 5.0
"""What a child with a pipe has for ending in good order after its parent's death."""


@dataclass(frozen=True)
class Child:
    """A process started by the fork server; it leads a process group of its own."""

    process: BaseProcess
    connection: Connection | None = None
    """The parent's end of a two-way pipe, where one was asked for."""

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        """The exit status (negative: the signal that killed it); None while it runs."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end; None when `timeout` seconds pass first."""
        self.process.join(timeout)
        return self.process.exitcode

    def signal(self, number: int) -> None:
        """Send a signal to the process alone; a process that has ended is left in peace."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the process and its own children (loader workers) with SIGKILL."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.join(10)


class ForkServer:
    """This process's fork server; there is one, since multiprocessing keeps one.

    The server imports `preload` once (seconds); every child then starts in some 50 ms. It must never touch CUDA: the
    preloaded modules only import. It ends when this process and all its children have ended.
    """

    def __init__(self, preload: Sequence[str]) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__, *preload])

    def warm(self) -> None:
        """Start the server and its imports now, without waiting for them."""
        # a child that waits for the server would warm it too, but only multiprocessing's own call does not block
        forkserver.ensure_running()

    def start(
        self,
        target: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        pipe: bool = False,
    ) -> Child:
        """Start `target` ("package.module:function") with text arguments in a child.

        `environment` is added to the child's; `log` receives its standard output and error; with `pipe` the function
        gets a Connection as its last argument, whose end-of-file says that this process is gone, and has a few seconds
        from then on.
        """
        ours, theirs = self._context.Pipe() if pipe else (None, None)
        # daemon=True would forbid loader workers; end_with_parent does what it is for.
        process = self._context.Process(
            target=_run,
            args=(target, list(arguments), dict(environment or {}), str(log) if log else None, theirs),
            name=target,
        )
        with _without_main():
            process.start()
        if theirs is not None:
            theirs.close()  # else the child's end stays open here and its death goes unnoticed
        return Child(process, ours)


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep multiprocessing from importing this process's main script again in the child, which costs 0.2 s."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(
    target: str, arguments: list[str], environment: dict[str, str], log: str | None, connection: Connection | None
) -> None:
    os.setsid()  # a group of its own: Ctrl-C reaches the parent alone, and a kill takes the loader workers along
    end_with_parent(grace=0.0 if connection is None else LAST_SECONDS)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends by it until the target listens: no failure with a traceback
    os.environ.update(environment)
    if log is not None:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 2)
        os.close(descriptor)
    os.dup2(2, 1)  # standard output is the parent's: it carries an answer alone, and libraries print
    module, _, name = target.partition(":")
    try:
        status = getattr(import_module(module), name)(*arguments, *([connection] if connection else []))
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of libraries (wandb, gloo) may hang at interpreter shutdown; everything worth keeping is on disk by now.
    os._exit(int(status or 0))
