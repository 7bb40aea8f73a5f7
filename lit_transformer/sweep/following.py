"""A program of the user's while it runs: its metrics are read as W&B writes them, and it ends early when asked to."""

import signal
import time
from typing import Protocol

from lit_transformer.records.atomic import is_full
from lit_transformer.records.requests import Request, read_request
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.wandb_file import offline_size, read_wandb_file, write_rows

LOOK_SECONDS = 1.0
"""Between looks at W&B's file."""
SHARE = 20
"""A look takes no more than one part in so many of a worker's time, however much a program logs."""
ASK_SECONDS = 0.25
"""Between looks for a request to end early."""
KILL_SECONDS = 30.0
"""What a program has after SIGTERM, as under W&B's agent."""


class Group(Protocol):
    """The processes of one trial, whoever started them."""

    def poll(self) -> int | None: ...
    def signal(self, number: int) -> None: ...
    def kill(self) -> None: ...


class Followed:
    """A running program whose metrics.jsonl grows with its W&B run; a request to prune it becomes SIGTERM."""

    def __init__(self, program: Group, run: RunFolder, run_id: str) -> None:
        self._program, self._run, self._run_id = program, run, run_id
        self._size, self._look_at, self._ask_at, self._kill_at = 0, 0.0, 0.0, 0.0
        self.pruned: Request | None = None
        """Why the program was asked to end, if it was while it lived."""

    def poll(self) -> int | None:
        """The program's exit status; None while it runs."""
        status, now = self._program.poll(), time.monotonic()
        if status is not None:
            return status
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._read()
        if self.pruned is None and now >= self._ask_at:
            self._ask_at = now + ASK_SECONDS
            self._end_if_asked()
        if self.pruned is not None and now > self._kill_at:
            self._program.kill()
        return self._program.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the program."""
        self._program.signal(number)

    def kill(self) -> None:
        """End the program at once."""
        self._program.kill()

    def _read(self) -> None:
        size = offline_size(self._run.path, self._run_id)
        if size == self._size:
            return
        began = time.monotonic()
        try:
            write_rows(self._run, read_wandb_file(self._run.path, self._run_id))
            self._size = size
        except OSError as error:
            if not is_full(error):
                raise
        self._look_at = max(self._look_at, time.monotonic() + SHARE * (time.monotonic() - began))

    def _end_if_asked(self) -> None:
        request = read_request(self._run)
        if request is not None and request.what == "prune":
            self.pruned, self._kill_at = request, time.monotonic() + KILL_SECONDS
            self._program.signal(signal.SIGTERM)
