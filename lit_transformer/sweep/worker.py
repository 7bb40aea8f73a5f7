"""A worker: claims cells and trains them one after another in warm children. Torch-free itself.

`python -m lit_transformer.sweep.worker FOLDER --worker NAME [--gpus 0,1]`; standard input is the driver's pipe, whose
end ends the worker and its trial at once. SIGTERM asks the trial to stop at its next step.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lit_transformer.config.errors import UserError
from lit_transformer.processes.ranks import RankGroup
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.processes.watch import end_with_stdin
from lit_transformer.records.atomic import is_full, read_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import HEARTBEAT, Attempts, Claim, Ledger
from lit_transformer.sweep.outcome import LOSSES, DiskFull, clear, forget_end, kept_end, settle
from lit_transformer.sweep.plan import PlannedCell, flat, read_configs, read_plan

NO_SPACE = 75
"""Exit status of a worker that found no room on the disk (EX_TEMPFAIL)."""
STOPPED = 143
POLL_SECONDS = 0.02
IDLE_SECONDS = 0.3
CLOSE_SECONDS = 5.0
"""What the W&B writer has for its last rows when the worker was asked to stop."""
GRACE_SECONDS = 10.0
"""What a trial that was asked to stop has for its step and its checkpoint."""


class StopFlag:
    """Set by SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


@dataclass
class Worker:
    """Runs cells of one sweep until none is left or it is asked to stop."""

    folder: SweepFolder
    ledger: Ledger
    runner: TrialRunner
    configs: dict[str, PlannedCell]
    gpus: Sequence[str]
    stop: StopFlag

    def run(self) -> int:
        """The exit status: 0 when no cell is left to claim, 143 when asked to stop, 75 on a full disk."""
        while not self.stop.asked:
            try:
                claim = self.ledger.claim()
                if claim is not None:
                    self._attempt(claim)
                elif self.ledger.unsettled():
                    time.sleep(IDLE_SECONDS)  # others' cells: one of them may yet be lost
                else:
                    return 0
            except DiskFull as error:
                return self._no_space(str(error))
            except OSError as error:
                if not is_full(error):
                    raise
                return self._no_space(str(error))
        return STOPPED

    def _attempt(self, claim: Claim) -> None:
        run = self.folder.cell(claim.cell)
        done = kept_end(run)
        if done is not None:  # an earlier holder died between the trial's result and the record of it
            claim.end(done)
            return
        losses = self.ledger.read().get(claim.cell, Attempts()).earlier_losses(claim.attempt)
        try:
            if not self._ready(claim):
                claim.end("again")  # its last trial lives and does not let go: someone else may wait for it next
                time.sleep(IDLE_SECONDS)
                return
            status = self._train(claim)
        except OSError as error:
            if is_full(error):
                claim.end("again")
            raise
        try:
            end = settle(claim, run, status, losses=losses, stopping=self.stop.asked)
        except DiskFull:
            claim.end("again")
            raise
        finally:
            self.runner.end(run.path)  # W&B is told the state that was just settled
        if end == "lost":
            say(f"{claim.cell}: its process was killed; it is run again ({losses + 1} of {LOSSES})")

    def _ready(self, claim: Claim) -> bool:
        """Freeze the cell, or leave an earlier attempt's folder to go on in; False where that attempt still lives."""
        run, planned = self.folder.cell(claim.cell), self.configs[claim.cell]
        if run.read_config() == planned.config and read_json(run.prepared_file) == planned.prepared:
            return forget_end(run)
        if not clear(run):
            return False
        tokenizer = Path(str(planned.prepared["folder"])) / run.tokenizer_file.name
        if tokenizer.exists():  # images have none
            shutil.copyfile(tokenizer, run.tokenizer_file)
        run.freeze(dict(planned.config), dict(planned.origins), dict(planned.prepared))
        return True

    def _train(self, claim: Claim) -> int:
        """Train the cell, and give the exit status of its first rank to fail."""
        run = self.folder.cell(claim.cell)
        settings = dict(flat(self.configs[claim.cell].config))
        environment = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        group = self.runner.start(
            run.path,
            devices=int(str(settings.get("trainer.devices", 1))),
            environment=environment,
            log=run.log_file,
            track=settings.get("tracking.wandb") != "off",
        )
        return self._watch(group, claim)

    def _watch(self, group: RankGroup, claim: Claim) -> int:
        """Wait for the trial's end, beating; end it when asked, and at once when another has taken the cell over."""
        asked_at, beat_at = 0.0, time.monotonic()
        while (status := group.poll()) is None:
            now = time.monotonic()
            if self.stop.asked and not asked_at:
                asked_at = now
                group.signal(signal.SIGTERM)
            if (asked_at and now - asked_at > GRACE_SECONDS) or (now - beat_at > HEARTBEAT and not claim.beat()):
                group.kill()
            beat_at = now if now - beat_at > HEARTBEAT else beat_at
            time.sleep(POLL_SECONDS)
        return status

    def _no_space(self, reason: str) -> int:
        say(f"no space left for {self.folder.path}: {reason}")
        return NO_SPACE


def say(text: str) -> None:
    """A line for the driver, which may be gone."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = sys.stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of a worker's process; see the module."""
    parser = argparse.ArgumentParser(prog="lit_transformer.sweep.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--gpus", default="")
    options = parser.parse_args(arguments)
    end_with_stdin()
    stop = StopFlag()
    folder = SweepFolder(options.folder)
    try:
        cells = [cell.name for cell in read_plan(folder).valid()]
        ledger = Ledger(folder.claims, cells, Holder.here(options.worker))
        gpus = [gpu for gpu in options.gpus.split(",") if gpu]
        runner = TrialRunner()
        runner.warm()
        status = Worker(folder, ledger, runner, read_configs(folder), gpus, stop).run()
    except UserError as error:
        say(str(error))
        return 2
    runner.close(CLOSE_SECONDS if stop.asked else 60)
    return status


if __name__ == "__main__":
    sys.exit(main())
