"""A program of the user's as a trial: it dies with whoever started it, and its run folder is locked while it lives.

`python -m lit_transformer.sweep.program REQUEST` is the keeper between the two: it holds the lock, starts the
program and waits. Standard input is the pipe of whoever started it, whose end kills both at once.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from lit_transformer.processes.watch import end_with_stdin
from lit_transformer.records.locks import FileLock
from lit_transformer.records.run_folder import RunFolder


class Program:
    """A running program and its keeper, in a process group of their own."""

    def __init__(self, words: Sequence[str], *, run: RunFolder, folder: Path, environment: Mapping[str, str]) -> None:
        """Start `words` in `folder`; what it prints goes to the run's log."""
        request = json.dumps({"words": list(words), "folder": str(folder), "lock": str(run.lock.path.resolve())})
        self._swept = False
        with run.log_file.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", __name__, request],
                stdin=subprocess.PIPE,  # held open and never written to: its end is ours
                stdout=log,
                stderr=log,
                env=dict(environment),
                start_new_session=True,
            )

    def poll(self) -> int | None:
        """The program's exit status (negative: the signal that ended it); None while it runs."""
        status = self._keeper.poll()
        if status is not None and status < 0 and not self._swept:
            self._swept = True  # the keeper was killed, or ended as its program did: what they leave dies too
            self._kill_group()
        return status

    def signal(self, number: int) -> None:
        """Send a signal to the program, by its keeper."""
        if self.poll() is None:
            self._keeper.send_signal(number)

    def kill(self) -> None:
        """Kill the keeper, the program and what it started in their group."""
        self._kill_group()
        self._keeper.wait(10)

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._keeper.pid, signal.SIGKILL)


def main(arguments: Sequence[str]) -> int:
    """Entry point of the keeper."""
    request = json.loads(arguments[0])
    end_with_stdin()
    lock = FileLock(Path(request["lock"]))
    if not lock.acquire():
        print("another process trains in this folder", file=sys.stderr)
        return 1
    program: subprocess.Popen[bytes] | None = None
    asked: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        if program is None:
            asked.append(number)
            return
        with suppress(ProcessLookupError):
            program.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    try:
        # the lock's descriptor goes along: should the keeper be killed, the folder stays locked while the program lives
        program = subprocess.Popen(
            request["words"], cwd=request["folder"], stdin=subprocess.DEVNULL, pass_fds=[lock.descriptor]
        )
    except OSError as error:
        print(f"{request['words'][0]} cannot be started in {request['folder']}: {error.strerror}", file=sys.stderr)
        return 127
    for early in asked:  # while it was being started
        forward(early, None)
    status = program.wait()
    if status < 0:  # end as it ended
        signal.signal(-status, signal.SIG_DFL) if -status not in (signal.SIGKILL, signal.SIGSTOP) else None
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
