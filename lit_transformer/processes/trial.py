"""Starts frozen runs, one after another, as warm children; `fit` and a sweep's workers share it."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lit_transformer.processes.fork_server import Child, ForkServer
from lit_transformer.processes.ranks import RankGroup, rank_environments

TRAIN = "lit_transformer.training.run:main"
"""What a rank runs, named as a string: this package imports neither torch nor training."""
WRITE_WANDB = "lit_transformer.training.wandb_writer:serve"
DRIFT_VARIABLE = "LIT_TRANSFORMER_ALLOW_DRIFT"
"""Set to 1 for ranks whose run may go on although the result will not be bit for bit the same."""
PRELOAD = ("lit_transformer.training.preload",)
UNSTOPPABLE = "lit_transformer.processes.unstoppable"
LEAVING_PRELOAD = (UNSTOPPABLE, *PRELOAD)
"""For a runner within a SLURM job: its trials save at a signal, and their server must outlive them."""
WRITER_PRELOAD = (UNSTOPPABLE, "lit_transformer.training.wandb_writer")
"""For a runner that only tracks: a launcher sends its signals to every process of the job, the server included."""


class TrialRunner:
    """A fork server that holds torch, Lightning and wandb, and one W&B writer for all the runs it starts."""

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        # wandb opens a connection for telemetry even offline; it reads this when the server imports it
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._server = ForkServer(preload)
        self._writer: Child | None = None
        self._tracked: set[Path] = set()
        self._begun: set[str] = set()
        """Runs that the writer has answered for: W&B shows them, or wants to know nothing of them."""

    def warm(self) -> None:
        """Begin the imports now, without waiting for them."""
        self._server.warm()

    def start(
        self,
        folder: Path,
        *,
        devices: int = 1,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        track: bool = True,
    ) -> RankGroup:
        """Start training the frozen run in `folder` on `devices` ranks; `track` carries its metrics to W&B.

        `log` receives what the ranks print; without it they print here.
        """
        children = [
            self._server.start(TRAIN, [str(folder)], environment={**(environment or {}), **ranks}, log=log)
            for ranks in rank_environments(devices)
        ]
        if track:
            self.track(folder)
        return RankGroup(children)

    def track(self, folder: Path) -> None:
        """Let the writer carry the run's metrics to W&B from now on."""
        self._tracked.add(folder)
        self._begun.discard(str(folder))
        self._send("open", folder)

    def await_tracking(self, folder: Path, patience: float = 30.0) -> None:
        """Wait until W&B shows a run that may have ended before that; see the run's `tracking_error_file` then.

        At once for a run that is not tracked, and where the writer has died.
        """
        until = time.monotonic() + patience
        while folder in self._tracked and str(folder) not in self._begun and time.monotonic() < until:
            if self._writer is None or self._writer.poll() is not None:
                break
            self._hear(0.1)

    def end(self, folder: Path) -> None:
        """Tell the writer that a tracked run has ended: it takes the last rows and finishes the W&B run."""
        if folder in self._tracked:
            self.end_again(folder)

    def end_again(self, folder: Path) -> None:
        """As `end`, for a run whose writer may have died before it was done: W&B's run is made anew, and finished."""
        self._tracked.discard(folder)
        self._send("close", folder)

    def close(self, timeout: float = 60) -> None:
        """Let the writer finish and end it."""
        if self._writer is not None:
            self._send("end", Path())
            if self._writer.wait(timeout) is None:
                self._writer.kill()
            self._writer = None

    def _send(self, verb: str, folder: Path) -> None:
        if self._writer is None or self._writer.poll() is not None:
            self._writer = self._server.start(WRITE_WANDB, [], pipe=True)
        assert self._writer.connection is not None
        with suppress(OSError):  # it died just now: tracking is lost for this run, the training goes on
            self._writer.connection.send((verb, str(folder)))
        self._hear()

    def _hear(self, timeout: float = 0.0) -> None:
        """Take what the writer has said: which runs it has begun."""
        assert self._writer is not None and self._writer.connection is not None
        with suppress(EOFError, OSError):  # it died
            while self._writer.connection.poll(timeout):
                self._begun.add(self._writer.connection.recv())
                timeout = 0.0
