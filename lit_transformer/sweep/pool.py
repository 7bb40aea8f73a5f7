"""The local workers of a driver: processes of their own, tied to it by a pipe, replaced when they die."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WORKER = "lit_transformer.sweep.worker"


@dataclass
class Local:
    """One worker's process."""

    name: str
    """Unique over drivers and machines; stands in its claims."""
    slot: int
    process: "subprocess.Popen[str]"


class Pool:
    """Starts workers and passes on what they say; the caller decides what a death means."""

    def __init__(
        self,
        folder: Path,
        gpus: Sequence[Sequence[str]],
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """`environment` is added to the workers', and so to their trials'; `options` are theirs too."""
        self._folder, self._gpus, self._options = folder, gpus, options
        self._environment = {**os.environ, **(environment or {})}
        self._started = 0
        self._lines: deque[str] = deque()
        self.workers: list[Local] = []

    def start(self, slot: int) -> None:
        """Start a worker on a slot: its GPUs, or nothing of its own on a CPU."""
        self._started += 1
        name = f"{platform.node()}-{os.getpid()}-{self._started}"
        command = [sys.executable, "-m", WORKER, str(self._folder), "--worker", name, *self._options]
        if self._gpus:
            command += ["--gpus", ",".join(self._gpus[slot])]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # held open and never written to: its end is ours
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self._environment,
            start_new_session=True,  # Ctrl-C reaches the driver alone, which stops its workers in order
        )
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        self.workers.append(Local(name, slot, process))

    def ended(self) -> list[tuple[Local, int]]:
        """Workers that have ended since the last call, with their exit statuses; they are forgotten here."""
        found = [(worker, status) for worker in self.workers if (status := worker.process.poll()) is not None]
        for worker, _ in found:
            self.workers.remove(worker)
            _close(worker)
        return found

    def said(self) -> list[str]:
        """Lines that workers printed since the last call."""
        return [self._lines.popleft() for _ in range(len(self._lines))]

    def signal(self, number: int) -> None:
        """Send a signal to every worker."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    def kill(self, patience: float = 5.0) -> None:
        """End every worker at once, by its pipe; its trials end with it."""
        for worker in self.workers:
            _close(worker)
        until = time.monotonic() + patience
        for worker in self.workers:
            try:
                worker.process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.process.send_signal(signal.SIGKILL)
                worker.process.wait()
        self.workers.clear()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for text in process.stdout:
            if text.strip():
                self._lines.append(text.rstrip())


def _close(worker: Local) -> None:
    if worker.process.stdin is not None:
        worker.process.stdin.close()
