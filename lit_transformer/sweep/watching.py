"""`sweep watch` and `sweep stop`: a look at a running sweep, and a request to its workers, from anywhere."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import is_full
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.display import Display
from lit_transformer.sweep.driver import total_steps
from lit_transformer.sweep.growing import PlanWatch
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.propose import unproposed
from lit_transformer.sweep.requests import LOOK_SECONDS, ask_to_stop
from lit_transformer.sweep.views import CellView, Viewer, exit_status

ANYBODY_SECONDS = 10.0
"""Between questions to SLURM's controller."""
WATCH_SECONDS = 1.0
"""Between looks: the folder may lie on a file server."""


class Watcher:
    """Looks at a sweep's folder again and again, and changes nothing in it."""

    def __init__(self, folder: SweepFolder) -> None:
        """Raises UserError for a folder that is no sweep's."""
        self._folder = folder
        self.plan = read_plan(folder)
        self.ledger = Ledger(folder.claims, [], Holder.here(f"watch-{os.getpid()}"))
        self.viewer = Viewer(folder, self.plan, self.ledger, {})
        self._growth = PlanWatch(folder)
        self._follow()

    def views(self) -> list[CellView]:
        """Every cell as it is now; new ones are seen."""
        if self._growth.changed():
            self.plan = read_plan(self._folder)
            self._follow()
        return self.viewer.read()

    def open(self) -> bool:
        """Whether a cell is open or held, or is still to be proposed."""
        return self.ledger.unsettled() or unproposed(self._folder, self.plan.cells) > 0

    def _follow(self) -> None:
        self.ledger.cells = [cell.name for cell in self.plan.valid()]
        self.viewer.follow(self.plan, total_steps(self._folder))


def sweep_watch(path: Path, *, anybody: Callable[[], bool] | None = None) -> int:
    """Show a sweep until nothing is left to do in it; the exit status as of `sweep status`. Raises UserError.

    `anybody` tells whether somebody may still run it; without anybody the watch ends too.
    """
    watcher = Watcher(SweepFolder(path))
    idle, asked = False, time.monotonic()
    with Display(watcher.plan.metric, workers=1) as display:
        while True:
            views = watcher.views()
            running = sum(view.state == "running" for view in views)
            display.workers = max(1, running)
            if not watcher.open():
                break
            if anybody is not None and not running and time.monotonic() - asked > ANYBODY_SECONDS:
                asked = time.monotonic()
                if not anybody() and watcher.open():
                    display.say(f"cells are left in {path}, and no pilot waits or runs; the same command continues")
                    break
            if not running and not idle and anybody is None:
                display.say(f"nobody runs {path} now; `lit-transformer sweep agent {path}` would")
            idle = not running
            display.show(views)
            time.sleep(WATCH_SECONDS)
        display.finish(views)
    return exit_status(views) or int(watcher.open())


def sweep_stop(path: Path, *, wait: float = 120.0) -> int:
    """Ask every worker of a sweep to stop at a step boundary, and wait for them; 0 when none runs any more, else 1.

    Raises UserError for a folder that is no sweep's, and for a full disk.
    """
    folder = SweepFolder(path)
    watcher = Watcher(folder)
    running = _running(watcher.views())
    try:
        ask_to_stop(folder)  # also where nothing runs now: a worker may be between two cells, or on its way
    except OSError as error:
        if not is_full(error):
            raise
        raise UserError(
            f"The disk is full ({error}): the request to stop cannot be written.\n"
            f"  fix      free some space for {path}; what runs ends by itself when it finds none"
        ) from None
    if running:
        more = f" and {len(running) - 5} more" if len(running) > 5 else ""
        print(f"asked to stop: {' '.join(running[:5])}{more}", file=sys.stderr)
    until, quiet = time.monotonic() + wait, 0.0
    while quiet < 2 * LOOK_SECONDS and time.monotonic() < until:  # a worker may claim a cell before it looks
        time.sleep(WATCH_SECONDS / 4)
        running = _running(watcher.views())
        quiet = 0.0 if running else quiet + WATCH_SECONDS / 4
    if running:
        print(f"still running after {wait:.0f} s: {' '.join(running)}", file=sys.stderr)
        return 1
    print(f"nothing runs in {path}; the command that started it, or `sweep agent`, goes on with it", file=sys.stderr)
    return 0


def _running(views: list[CellView]) -> list[str]:
    return [view.cell for view in views if view.state == "running"]
