"""A sweep's progress on standard error: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lit_transformer.sweep.replicates import point_table, point_views
from lit_transformer.sweep.views import DONE, CellView, counts, seconds_left

INTERVAL_SECONDS = 10.0
"""Between plain lines."""
COLOURS = {"running": "cyan", "complete": "green", "pruned": "green", "diverged": "magenta", "failed": "red",
           "stopped": "yellow", "impossible": "bright_black", "waiting": "bright_black",
           "unneeded": "bright_black"}  # fmt: skip


class Display:
    """Shows the cells again and again until it is closed; `with` closes it."""

    def __init__(self, metric: str, workers: int) -> None:
        self._metric, self.workers = metric, workers
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._known: dict[str, str] = {}
        self._shown = time.monotonic()
        self._said = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """A line of its own, above the table."""
        if self._live is not None:
            self._console.print(Text(text))
        else:
            print(text, file=sys.stderr, flush=True)

    def show(self, views: Sequence[CellView]) -> None:
        """Redraw the table; elsewhere a line for every cell that ended, and one per interval."""
        if self._live is not None:
            height = max(5, self._console.height - 6)
            self._live.update(Group(table(views, self._metric, limit=height), self._summary(views)), refresh=True)
            return
        ended = False
        for view in views:
            before = self._known.get(view.cell)
            self._known[view.cell] = view.state
            if before is not None and before != view.state and view.state not in ("running", "waiting", "unneeded"):
                ended = True
                self.say(line(view, self._metric))
        now = time.monotonic()
        if ended or now - self._shown > INTERVAL_SECONDS:
            self._shown, self._said = now, self._summary(views)
            self.say(self._said)

    def finish(self, views: Sequence[CellView]) -> None:
        """Show the cells a last time, with what replicates come to and the reasons of those that are not done."""
        self.show(views)
        replicated = point_views(views)
        if any(view.complete for view in replicated):
            self._console.print(point_table(replicated, self._metric))
        for view in views:
            if view.state in ("failed", "diverged", "impossible"):
                self.say(line(view, self._metric))
        if self._live is None and self._said != summary(views):
            self.say(summary(views))

    def _summary(self, views: Sequence[CellView]) -> str:
        shown = [] if self._live is not None else [_running(view, self._metric) for view in views]
        left = seconds_left(views, self.workers)
        return summary(views) + (f", about {duration(left)} left" if left else "") + "".join(shown)


def summary(views: Sequence[CellView]) -> str:
    """How many cells are done and in which state the others are."""
    count = counts(views)
    valid = len(views) - count["impossible"] - count["unneeded"]
    done = sum(count[state] for state in DONE)
    others = [f"{count[state]} {state}" for state in count if state not in DONE and count[state]]
    return ", ".join([f"{done} of {valid} cells done", *others])


def table(views: Sequence[CellView], metric: str, limit: int | None = None) -> Table:
    """The cells as a table; with a limit, those that run or wait go before those that are done."""
    result = Table(box=None, pad_edge=False)
    for title in ("cell", "state", "step", metric, "time"):
        result.add_column(title, justify="left" if title in ("cell", "state") else "right", overflow="fold")
    for view in _chosen(views, limit):
        steps = f"{view.step}/{view.total_steps}" if view.total_steps else str(view.step or "")
        value = "" if view.metric is None else f"{view.metric:.4f}"
        state = Text(view.state, style=COLOURS[view.state])
        result.add_row(Text(view.cell), state, steps if view.step else "", value, _time(view))
    return result


def line(view: CellView, metric: str) -> str:
    """One cell that ended, in one line."""
    value = f"  {metric} {view.metric:.4f}" if view.metric is not None else ""
    seconds = f"  ({duration(view.seconds)})" if view.seconds else ""
    reason = f"  {view.reason.splitlines()[0]}" if view.reason else ""
    return f"{view.cell}: {view.state}{value}{seconds}{reason}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _time(view: CellView) -> str:
    if view.seconds_left is not None:
        return f"ETA {duration(view.seconds_left)}"
    return duration(view.seconds) if view.seconds and view.state != "running" else ""


def _running(view: CellView, metric: str) -> str:
    if view.state != "running" or not view.step:
        return ""
    value = f" {metric} {view.metric:.4f}" if view.metric is not None else ""
    return f"  [{view.cell} {view.step}/{view.total_steps or '?'}{value}]"


def _chosen(views: Sequence[CellView], limit: int | None) -> Sequence[CellView]:
    if limit is None or len(views) <= limit:
        return views
    order = {"running": 0, "failed": 1, "diverged": 1, "stopped": 1, "waiting": 2}
    ranked = sorted(range(len(views)), key=lambda index: (order.get(views[index].state, 3), index))
    return [views[index] for index in sorted(ranked[:limit])]
