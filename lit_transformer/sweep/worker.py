"""A worker: claims cells and trains them one after another in warm children. Torch-free itself.

`python -m lit_transformer.sweep.worker FOLDER --worker NAME [--gpus 0,1] [--leaves] [--since ID] [--srun N]`; standard
input is the pipe of whoever started it, whose end ends the worker and its trial at once. SIGTERM, SIGUSR1 and `sweep
stop` ask the trial to stop at its next step; SIGINT is for the driver alone, which says by it that it stops too.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten
from lit_transformer.processes.srun_step import SrunStep, end_orphans
from lit_transformer.processes.trial import LEAVING_PRELOAD, PRELOAD, TrialRunner
from lit_transformer.processes.watch import end_with_stdin
from lit_transformer.records.atomic import is_full
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.following import Followed, Group
from lit_transformer.sweep.foreign import Foreign, read_foreign
from lit_transformer.sweep.growing import PlanWatch
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.judge import Histories, Judge
from lit_transformer.sweep.ledger import Attempts, Claim, End, Ledger, beating
from lit_transformer.sweep.outcome import LOSSES, DiskFull, kept_end, settle
from lit_transformer.sweep.plan import PlannedCell, read_configs, read_plan
from lit_transformer.sweep.preparing import Stopped
from lit_transformer.sweep.propose import Next, Proposer
from lit_transformer.sweep.readying import LocalData, make_ready
from lit_transformer.sweep.requests import StopRequest, read_retries
from lit_transformer.sweep.search import read_search
from lit_transformer.sweep.stop_flag import StopFlag
from lit_transformer.sweep.target import Target
from lit_transformer.sweep.trial_watch import TrialWatch, say

NO_SPACE = 75
"""Exit status of a worker that found no room on the disk (EX_TEMPFAIL)."""
STOPPED = 143
IDLE_SECONDS = 0.3
CLOSE_SECONDS = 5.0
"""What the W&B writer has for its last rows when the worker was asked to stop."""


@dataclass
class Worker:
    """Runs cells of one sweep until none is left or it is asked to stop."""

    folder: SweepFolder
    ledger: Ledger
    runner: TrialRunner
    gpus: Sequence[str]
    stop: StopFlag
    leaves: bool = False
    """Whether others go on with what this worker leaves: a cell that it stops for a signal is open again."""
    srun_nodes: int = 0
    """Nodes of the SLURM job whose steps the trials are; 0 where they are children of this machine's fork server."""
    configs: dict[str, PlannedCell] = field(init=False)
    foreign: Foreign | None = field(init=False)
    """How the cells are started where they are no trials of ours."""
    _growth: PlanWatch = field(init=False)
    _watch: TrialWatch = field(init=False)
    _proposer: Proposer | None = field(init=False)
    _data: LocalData = field(init=False)

    def __post_init__(self) -> None:
        folder, search, plan = self.folder, read_search(self.folder), read_plan(self.folder)
        self._growth = PlanWatch(folder)
        self._data = LocalData(lambda: self.stop.asked)
        self._proposer = (
            Proposer(folder, search.growth, self.ledger.holder, lambda: self.stop.asked) if search.growth else None
        )
        self.foreign = read_foreign(folder)
        histories = Histories(folder, plan.metric)
        self._watch = TrialWatch(
            folder=folder,
            ledger=self.ledger,
            stop=self.stop,
            judge=Judge(folder, search.stop, histories) if search.stop else None,
            target=Target(folder, self.ledger, histories, goal=plan.goal),
            leaves=self.leaves,
            ours=self.foreign is None,
        )
        self._read_plan()

    def run(self) -> int:
        """The exit status: 0 when no cell is left to claim, 143 when asked to stop, 75 on a full disk."""
        while not self.stop.asked:
            try:
                if self._growth.changed():
                    self._read_plan()
                claim = self.ledger.claim()
                if claim is not None:
                    self._attempt(claim)
                elif (following := self._propose()) is Next.WAIT or (
                    following is Next.OVER and self.ledger.unsettled()
                ):
                    time.sleep(IDLE_SECONDS)  # others' cells: one of them may yet be lost
                elif following is Next.OVER and not self._growth.changed():
                    return 0
                else:
                    self._read_plan()
            except Stopped:
                return STOPPED
            except DiskFull as error:
                return self._no_space(str(error))
            except OSError as error:
                if not is_full(error):
                    raise
                return self._no_space(str(error))
        return STOPPED

    def _read_plan(self) -> None:
        """The cells that can be trained from here, those that `sweep extend` added among them."""
        valid = [cell.name for cell in read_plan(self.folder).valid()]
        self.configs = read_configs(self.folder)
        here = max(1, self.srun_nodes)
        self.ledger.cells = [name for name in valid if self.foreign or ranks_of(self.configs[name])[0] <= here]

    def _propose(self) -> Next:
        """Propose the next cells of a sweep that grows, where it is this worker's turn."""
        return self._proposer.propose() if self._proposer else Next.OVER

    def _attempt(self, claim: Claim) -> None:
        run = self.folder.cell(claim.cell)
        run.fail_where_shown_otherwise()  # an earlier holder may have died before it looked
        done = kept_end(run)
        if done is not None:  # an earlier holder died between the trial's result and the record of it
            self._watch.look_at_target(claim.cell, at_once=True)
            claim.end(done)
            if self.foreign is None and self._is_tracked(claim.cell):
                self.runner.end_again(run.path)
            return
        status = self._train_ready(claim, run)
        if status is None:
            return
        known = self.ledger.read().get(claim.cell, Attempts())
        losses, errors = (known.earlier(claim.attempt, end) for end in ("lost", "error"))
        left = read_retries(self.folder) - errors
        try:
            end = settle(
                claim, run, status, losses=losses, stopping=self.stop.asked, stopped=self._stopped(), errors_left=left,
                ours=self.foreign is None,
            )  # fmt: skip
        except DiskFull:
            claim.end("again")
            raise
        finally:
            self.runner.end(run.path)  # W&B is told the state that was just settled
        if end == "lost":
            say(f"{claim.cell}: its process was killed; it is run again ({losses + 1} of {LOSSES})")
        if end == "preempted" and not self.stop.asked:
            say(f"{claim.cell}: its process was asked to end by a signal; it goes on")
        if end == "error":
            say(f"{claim.cell}: it failed; it is run again ({errors + 1} of {errors + left})")

    def _train_ready(self, claim: Claim, run: RunFolder) -> int | None:
        """Get the cell's folder ready and train it: the exit status, and None where the attempt has ended before."""
        try:
            with beating(claim):  # preparing data here takes as long as it takes
                ready = self._make_ready(run, self.configs[claim.cell])
            if not ready:
                claim.end("again")  # its last trial lives and does not let go: someone else may wait for it next
                time.sleep(IDLE_SECONDS)
                return None
            if not claim.is_highest():  # overtaken while it got ready
                return None
            status = self._train(claim)
            if status == 0:
                self._check_shown(run, claim)
            # before its end is recorded: whoever sees that, sees this
            self._watch.look_at_target(claim.cell, at_once=True)
            return status
        except Stopped:
            claim.end(self._stopped())
            return None
        except UserError:  # of this machine, not of the cell
            claim.end("again")
            raise
        except OSError as error:
            if is_full(error):
                claim.end("again")
            raise

    def _check_shown(self, run: RunFolder, claim: Claim) -> None:
        """See what W&B shows of a run that was over before W&B had begun it; a longer run has looked itself."""
        with beating(claim):
            self.runner.await_tracking(run.path)
        if claim.is_highest():
            run.fail_where_shown_otherwise()

    def _stopped(self) -> End:
        """The end of an attempt that was asked to stop: open again where the sweep itself goes on."""
        ends = self.stop.requested or (self.stop.with_driver and not self.leaves)
        return "stopped" if ends else "preempted"

    def _make_ready(self, run: RunFolder, cell: PlannedCell) -> bool:
        return self.foreign.make_ready(run, cell) if self.foreign else make_ready(run, cell, self._data)

    def _run_program(self, foreign: Foreign, claim: Claim) -> int:
        """Run the cell's own command to its end, and take over what it logged."""
        run, cell, begun = self.folder.cell(claim.cell), self.configs[claim.cell], time.monotonic()
        followed = Followed(foreign.start(run, cell, self.gpus), run, foreign.run_id(cell.name))
        status = self._watch.wait(followed, claim)
        if claim.is_highest():
            foreign.record(run, cell, status, time.monotonic() - begun, followed.pruned)
        return status

    def _train(self, claim: Claim) -> int:
        """Train the cell, and give the exit status of its first rank to fail."""
        if self.foreign is not None:
            return self._run_program(self.foreign, claim)
        run = self.folder.cell(claim.cell)
        settings = flatten(self.configs[claim.cell].config)
        return self._watch.wait(self._start(run, claim, settings), claim)

    def _is_tracked(self, cell: str) -> bool:
        return flatten(self.configs[cell].config).get("tracking.wandb") != "off"

    def _start(self, run: RunFolder, claim: Claim, settings: dict[str, object]) -> Group:
        nodes, devices = ranks_of(self.configs[claim.cell])
        if self.srun_nodes and nodes * devices > 1:
            return SrunStep(run.path, nodes=nodes, devices=devices, threads=_number(settings, "trainer.threads"),
                            gpus=settings["trainer.accelerator"] == "cuda", log=run.log_file)  # fmt: skip
        return self.runner.start(
            run.path,
            devices=devices,
            environment={"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {},
            log=run.log_file,
            track=self._is_tracked(claim.cell),
        )

    def _no_space(self, reason: str) -> int:
        say(f"no space left for {self.folder.path}: {reason}")
        return NO_SPACE


def ranks_of(cell: PlannedCell) -> tuple[int, int]:
    """The nodes that a cell trains on, and its ranks on each."""
    settings = flatten(cell.config)
    return _number(settings, "trainer.num_nodes"), _number(settings, "trainer.devices")


def _number(settings: dict[str, object], key: str) -> int:
    value = settings.get(key)  # a program of the user's may have a setting of this name, of any kind
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of a worker's process; see the module."""
    parser = argparse.ArgumentParser(prog="lit_transformer.sweep.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--gpus", default="")
    parser.add_argument("--leaves", action="store_true")
    parser.add_argument("--since")
    parser.add_argument("--srun", type=int, default=0)
    options = parser.parse_args(arguments)
    end_with_stdin()
    folder = SweepFolder(options.folder)
    stop = StopFlag(StopRequest(folder, options.since))
    try:
        ledger = Ledger(folder.claims, [], Holder.here(options.worker))
        gpus = [gpu for gpu in options.gpus.split(",") if gpu]
        runner = TrialRunner(LEAVING_PRELOAD if options.leaves else PRELOAD)
        worker = Worker(folder, ledger, runner, gpus, stop, leaves=options.leaves, srun_nodes=options.srun)
        here = any(ranks_of(worker.configs[name]) == (1, 1) for name in ledger.cells)
        if options.srun and not all(ranks_of(worker.configs[name]) == (1, 1) for name in ledger.cells):
            end_orphans()  # of a worker whose place this one takes
        if worker.foreign is None and (here or not options.srun):
            runner.warm()
        status = worker.run()
    except UserError as error:
        say(str(error))
        return 2
    runner.close(CLOSE_SECONDS if stop.asked else 60)
    return status


if __name__ == "__main__":
    sys.exit(main())
