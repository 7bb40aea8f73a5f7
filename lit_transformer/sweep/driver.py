"""The driver: keeps workers busy until every cell of a planned sweep has ended."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Self

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten
from lit_transformer.processes.trial import DRIFT_VARIABLE
from lit_transformer.records.atomic import write_text
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.display import Display
from lit_transformer.sweep.growing import PlanWatch
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import KEPT, End, Ledger
from lit_transformer.sweep.outcome import DiskFull, kept_end, settle_orphan
from lit_transformer.sweep.plan import Plan, read_configs, read_plan
from lit_transformer.sweep.pool import Local, Pool
from lit_transformer.sweep.propose import unproposed
from lit_transformer.sweep.requests import StopRequest, read_retries
from lit_transformer.sweep.slots import Slots
from lit_transformer.sweep.stop_flag import DRIVER_STOPS
from lit_transformer.sweep.trial_watch import PATIENT_SECONDS
from lit_transformer.sweep.views import DONE, Viewer, exit_status
from lit_transformer.sweep.worker import NO_SPACE, STOPPED

RERUN: tuple[End, ...] = ("failed", "stopped", "lost")
"""Ends that the same command again runs again."""
RETRY: tuple[End, ...] = (*RERUN, "diverged")
"""Ends that `sweep retry` runs again."""
TICK_SECONDS = 0.2
SHOW_SECONDS = 0.5
DEATHS = 3
"""Deaths of workers for each of them, without a cell ending in between, after which the sweep gives up."""
STOP_SECONDS = 20.0
"""What workers have for stopping in order: a trial's step and checkpoint, W&B's last rows."""


@contextmanager
def locked(folder: SweepFolder) -> Iterator[None]:
    """Hold the sweep's folder; raises UserError naming the driver that already does."""
    lock = folder.lock
    if not lock.acquire():
        try:
            holder = f" (process {int((folder.path / 'driver.pid').read_text(encoding='ascii'))})"
        except (OSError, ValueError):
            holder = ""
        raise UserError(
            f"{folder.path} is being run by another `sweep run`{holder}.\n"
            f"  fix      wait for it, or stop it; watch it with `lit-transformer sweep status {folder.path}`"
        )
    try:
        write_text(folder.path / "driver.pid", f"{os.getpid()}\n")
        yield
    finally:
        (folder.path / "driver.pid").unlink(missing_ok=True)
        lock.release()


def drive(
    folder: SweepFolder,
    plan: Plan,
    slots: Slots,
    again: tuple[End, ...] = RERUN,
    *,
    allow_drift: bool = False,
    since: str | None = None,
) -> int:
    """Run the open cells, and those whose earlier end is in `again`; the sweep's lock must be held.

    An unfinished cell goes on from its newest checkpoint; one that can no longer do so exactly fails, unless
    `allow_drift`. `since` as of `run_workers`.
    Returns 0 where every valid cell is complete or pruned, 130 or 143 where a signal stopped the sweep, else 1.
    """
    reopen(folder, plan, again)
    return run_workers(folder, plan, slots, leaves=False, allow_drift=allow_drift, since=since)


def reopen(folder: SweepFolder, plan: Plan, again: tuple[End, ...]) -> None:
    """Open the cells whose earlier end is in `again`, or whose result is missing; the sweep's lock must be held."""
    valid = [cell.name for cell in plan.valid()]
    ledger = Ledger(folder.claims, valid, Holder.here(f"driver-{os.getpid()}"))
    ends = {name: known.end for name, known in ledger.read().items()}
    # an end is recorded after its result: agents may complete other cells meanwhile
    missing = {name: kept_end(folder.cell(name)) is None for name, end in ends.items() if end in KEPT}
    for name, end in ends.items():
        if end == "diverged" and end in again:  # its next claimant would take the result for the new attempt's
            folder.cell(name).result_file.unlink(missing_ok=True)
    ledger.reopen(again, missing)


def run_workers(
    folder: SweepFolder,
    plan: Plan,
    slots: Slots,
    *,
    leaves: bool,
    allow_drift: bool = False,
    srun_nodes: int = 0,
    since: str | None = None,
) -> int:
    """Run open cells by local workers until nothing is left for anybody; the status as of `drive`.

    `leaves`: others go on with what these workers leave, so a cell that a signal stops is open again. `srun_nodes`
    counts the nodes of the SLURM job that this is, whose steps the trials of several ranks are. A request to stop
    counts when it is newer than `since`, by default than now.
    """
    request = StopRequest(folder, since)
    ledger = Ledger(folder.claims, [cell.name for cell in plan.valid()], Holder.here(f"driver-{os.getpid()}"))
    viewer = Viewer(folder, plan, ledger, total_steps(folder))
    environment = {DRIFT_VARIABLE: "1"} if allow_drift else {}
    options = ["--since", request.since, "--srun", str(srun_nodes), *(["--leaves"] if leaves else [])]
    with Display(plan.metric, slots.workers) as display, Signals() as signals:
        pool = Pool(folder.path, slots.gpus, environment, options)
        patience = PATIENT_SECONDS if leaves else 0.0
        driver = Driver(folder, ledger, pool, viewer, display, signals, request, patience)
        try:
            driver.run(slots.workers)
        finally:
            driver.pool.kill()
        plan = read_plan(folder)
        viewer.follow(plan, total_steps(folder))
        views = viewer.read()
        display.finish(views)
    if signals.received:
        return 128 + signals.received
    return 1 if driver.gave_up or unproposed(folder, plan.cells) else exit_status(views)


class Signals:
    """SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask for an orderly stop; a second one for a hard one."""

    def __init__(self) -> None:
        self.received = 0
        self.count = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        self.count += 1


@dataclass
class Driver:
    """One run of `sweep run`, of `sweep agent`, or of a pilot."""

    folder: SweepFolder
    ledger: Ledger
    pool: Pool
    viewer: Viewer
    display: Display
    signals: Signals
    request: StopRequest
    patience: float = 0.0
    """Seconds more than usual that workers have for stopping."""
    gave_up: bool = False
    _growth: PlanWatch = field(init=False)
    _deaths: int = field(default=0, init=False)
    _ended: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._growth = PlanWatch(self.folder)

    def run(self, workers: int) -> None:
        """Until no worker has anything left to do, a signal or `sweep stop` comes, or nothing gets on."""
        for slot in range(workers):
            self.pool.start(slot)
        shown = 0.0
        while self.pool.workers and not self.signals.received and not self.request.asked() and not self.gave_up:
            time.sleep(TICK_SECONDS)
            self._relay()
            for worker, status in self.pool.ended():
                self._after(worker, status, workers)
            if time.monotonic() - shown > SHOW_SECONDS:
                if self._growth.changed():
                    self._grow(workers)
                views = self.viewer.read()
                self.display.show(views)
                self._count_ended(sum(view.state in (*DONE, "failed", "diverged", "stopped") for view in views))
                shown = time.monotonic()
        if self.pool.workers:
            self._stop()
        elif self.request.asked(at_once=True):  # the workers saw it first
            self.display.say("stopped: asked by `sweep stop`; trials finished their step and saved")
        self._relay()

    def _grow(self, workers: int) -> None:
        """The plan has new cells: show them, and start workers on the slots that had nothing left to do."""
        plan = read_plan(self.folder)
        self.ledger.cells = [cell.name for cell in plan.valid()]
        self.viewer.follow(plan, total_steps(self.folder))
        busy = {worker.slot for worker in self.pool.workers}
        for slot in range(workers):
            if slot not in busy:
                self.pool.start(slot)

    def _after(self, worker: Local, status: int, workers: int) -> None:
        """A worker ended: in order, for want of space, by a signal to it alone, or by a death that costs its trial."""
        stopping = self.signals.received or self.request.asked(at_once=True)
        if status == 0 or (status == STOPPED and stopping):
            return
        if status == STOPPED:
            self.display.say("a worker was asked to end by a signal; another takes its place")
            self.pool.start(worker.slot)
            return
        if status == NO_SPACE:
            self._give_up(f"The disk is full. Free some space for {self.folder.path}; the same command continues.")
            return
        self._deaths += 1
        try:
            for claim in self.ledger.held_by(worker.name):
                known, run = self.ledger.read()[claim.cell], self.folder.cell(claim.cell)
                end = settle_orphan(claim, run, known, read_retries(self.folder))
                what = end or "another has taken it up"
                self.display.say(f"a worker died (exit status {status}) while it ran {claim.cell}: {what}")
        except (DiskFull, OSError) as error:
            self._give_up(f"{error}. The same command continues.")
            return
        if self._deaths > DEATHS * workers or status == 2:
            self._give_up(
                "The workers end without finishing a cell; what they said stands above. "
                "Mend it; the same command continues."
            )
        elif self.ledger.unsettled() or unproposed(self.folder, read_plan(self.folder).cells):
            self.pool.start(worker.slot)

    def _count_ended(self, ended: int) -> None:
        if ended > self._ended:
            self._deaths = 0
        self._ended = ended

    def _give_up(self, why: str) -> None:
        self.gave_up = True
        self.display.say(why)

    def _relay(self) -> None:
        for text in self.pool.said():
            self.display.say(text)

    def _stop(self) -> None:
        """Let trials finish their step and save; a second signal ends them at once."""
        asked = self.request.asked() and not self.signals.received
        by = "asked by `sweep stop`: " if asked else ""
        self.display.say(f"stopping: {by}trials finish their step and save; once more ends them at once")
        if not asked:  # else they see the request themselves
            self.pool.signal(DRIVER_STOPS)
        patience = self.patience or (PATIENT_SECONDS if asked else 0.0)
        count, until = self.signals.count, time.monotonic() + STOP_SECONDS + patience
        while self.pool.workers and time.monotonic() < until and self.signals.count == count:
            time.sleep(0.05)
            self.pool.ended()
            self._relay()


def total_steps(folder: SweepFolder) -> dict[str, int | None]:
    """Cell -> the steps of its training; None where they are not counted in advance."""
    found: dict[str, int | None] = {}
    for name, cell in read_configs(folder).items():
        steps = flatten(cell.config).get("trainer.max_steps")
        found[name] = steps if isinstance(steps, int) else None
    return found
