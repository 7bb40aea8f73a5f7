"""A worker's watch over its running trial: heartbeats, requests to stop, the rules that end it early."""

import signal
import sys
import time
from dataclasses import dataclass

from lit_transformer.records.atomic import is_full
from lit_transformer.records.requests import Request, What, write_request
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.following import Group
from lit_transformer.sweep.judge import Judge
from lit_transformer.sweep.ledger import HEARTBEAT, Claim, Ledger
from lit_transformer.sweep.stop_flag import StopFlag
from lit_transformer.sweep.target import Target

POLL_SECONDS = 0.02
GRACE_SECONDS = 10.0
"""What a trial has for its step and its checkpoint after a signal to its worker."""
PATIENT_SECONDS = 80.0
"""The same after `sweep stop`, and where a worker leaves others to go on: nobody waits at a terminal."""


@dataclass(kw_only=True)
class TrialWatch:
    """Sees each of a worker's trials to its end."""

    folder: SweepFolder
    ledger: Ledger
    stop: StopFlag
    judge: Judge | None
    """What stops trials early; None where every trial runs to its end."""
    target: Target
    leaves: bool
    """Whether others go on with what the worker leaves."""
    ours: bool
    """Whether the trials read a request to stop, as a program of the user's does not."""

    def wait(self, group: Group, claim: Claim) -> int:
        """Wait for the trial's end, beating; end it when asked, and at once when another has taken the cell over."""
        asked_at, beat_at = 0.0, time.monotonic()
        while (status := group.poll()) is None:
            now = time.monotonic()
            if self.stop.asked and not asked_at:
                asked_at = now
                self._ask_to_stop(group, claim)
            grace = PATIENT_SECONDS if self.leaves or not self.stop.signalled else GRACE_SECONDS
            due = now - beat_at > HEARTBEAT
            if (asked_at and now - asked_at > grace) or (due and not claim.beat()):
                group.kill()
            elif due and asked_at:
                self._ask_to_stop(group, claim, again=True)
            beat_at = now if due else beat_at
            if self.judge is not None and not asked_at:
                self._weigh(self.judge, claim.cell)
            self.look_at_target(claim.cell)
            time.sleep(POLL_SECONDS)
        return status

    def _ask_to_stop(self, group: Group, claim: Claim, *, again: bool = False) -> None:
        """Let the trial save and end after its step.

        By a file where this is one process of a job: SLURM may have sent SIGTERM to the trial too, and a second signal
        would end it without a checkpoint; and srun kills its tasks at SIGTERM. `again`: an srun step that was starting
        has taken the file for an older request (training/fit.py).
        """
        run = self.folder.cell(claim.cell)
        if not (self.leaves and self.ours):
            if not again:  # a second signal ends it at once
                group.signal(signal.SIGTERM)
            return
        if again and run.request_file.exists():
            return
        what: What = "stop" if self.stop.requested else "preempt"
        try:
            write_request(run, Request(what=what, why=f"its worker was asked to {what}"))
        except OSError:  # a full disk: the trial's checkpoint would find no room either
            if not again:
                group.signal(signal.SIGTERM)

    def _weigh(self, judge: Judge, cell: str) -> None:
        """Let the trial end early where the sweep's rule says so; a disk that is full now is asked again."""
        try:
            verdict = judge.look(cell, self.ledger.cells)
        except OSError as error:
            if not is_full(error):
                raise
            return
        if verdict is not None:
            say(f"{cell}: stopped early, {verdict}")

    def look_at_target(self, cell: str, *, at_once: bool = False) -> None:
        """Keep anybody from beginning a cell once this one has reached the sweep's target."""
        try:
            why = self.target.look(cell, at_once=at_once)
        except OSError as error:
            if not is_full(error) or at_once:
                raise
            return
        if why:
            say(f"{why}; no cell is begun any more")


def say(text: str) -> None:
    """A line for whoever started this worker, who may be gone."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = sys.stderr
