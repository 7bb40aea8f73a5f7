"""`sweep status`: what a sweep's folder says, whoever runs it."""

import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from lit_transformer.records.locks import is_locked
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.display import duration, line, summary, table
from lit_transformer.sweep.driver import total_steps
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.plan import Plan, read_plan
from lit_transformer.sweep.propose import unproposed
from lit_transformer.sweep.replicates import point_table, point_views
from lit_transformer.sweep.views import CellView, Viewer, counts, exit_status, seconds_left


@dataclass(frozen=True)
class SweepStatus:
    """A sweep at one moment."""

    folder: Path
    plan: Plan
    views: list[CellView]
    driven: bool
    """Whether somebody runs it: a driver, agents, pilots."""
    unproposed: int = 0
    """Points that a sweep which grows is still to propose."""
    closed: str = ""
    """Why no cell is begun any more: the sweep's target."""

    @property
    def exit_status(self) -> int:
        """0 only when every valid cell is complete or pruned, and none is still to be proposed."""
        return exit_status(self.views) or int(self.unproposed > 0)

    @property
    def seconds_left(self) -> float | None:
        """An estimate; None where nobody runs it or before the first cell is complete."""
        running = sum(view.state == "running" for view in self.views)
        return seconds_left(self.views, running) if self.driven and running else None

    def to_json(self) -> dict[str, object]:
        """What `sweep status --json` prints."""
        return {
            "version": 1,
            "folder": str(self.folder),
            "name": self.plan.name,
            "metric": {"name": self.plan.metric, "goal": self.plan.goal},
            "running": self.driven,
            "counts": counts(self.views),
            "unproposed": self.unproposed,
            "closed": self.closed,
            "seconds_left": self.seconds_left,
            "cells": [view.to_json() for view in self.views],
            "points": [asdict(point) for point in point_views(self.views)],
        }


def sweep_status(path: Path) -> SweepStatus:
    """The state of every cell of a sweep's folder; raises UserError where it is none."""
    folder = SweepFolder(path)
    plan = read_plan(folder)
    ledger = Ledger(folder.claims, [cell.name for cell in plan.valid()], Holder.here(f"status-{os.getpid()}"))
    views = Viewer(folder, plan, ledger, total_steps(folder)).read()
    driven = is_locked(folder.lock.path) or any(view.state == "running" for view in views)
    return SweepStatus(path, plan, views, driven, unproposed(folder, plan.cells), ledger.why_closed())


def print_status(status: SweepStatus) -> None:
    """The table and the reasons on standard output, for a person."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table(status.views, status.plan.metric))
    replicated = point_views(status.views)
    if replicated:
        console.print(point_table(replicated, status.plan.metric))
    for view in status.views:
        if view.reason:
            console.print(line(view, status.plan.metric), markup=False)
    if status.closed:
        console.print(f"no cell is begun any more: {status.closed}", markup=False)
    left = status.seconds_left
    running = f", about {duration(left)} left" if left else "" if status.driven else ", nobody runs it"
    rest = f", {status.unproposed} to be proposed" if status.unproposed else ""
    console.print(summary(status.views) + rest + running, markup=False)
