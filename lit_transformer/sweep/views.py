"""What a sweep's cells are doing, read from its folder alone."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.ledger import OPEN, Attempts, Ledger
from lit_transformer.sweep.plan import Plan, PlannedCell

State = Literal["waiting", "running", "complete", "pruned", "diverged", "failed", "stopped", "impossible", "unneeded"]
"""`waiting` will be begun, `unneeded` never: the sweep's target is reached."""
STATES: tuple[State, ...] = get_args(State)
DONE: tuple[State, ...] = ("complete", "pruned")
"""States that a sweep aims at: with every valid cell in one of them its exit status is 0."""


@dataclass(frozen=True, kw_only=True)
class CellView:
    """One cell as the table shows it."""

    cell: str
    values: Mapping[str, object]
    state: State
    step: int = 0
    total_steps: int | None = None
    metric: float | None = None
    """The sweep's metric: the best validation's where the cell is done, the newest while it runs."""
    seconds: float | None = None
    """Of training: in all where the cell is done, so far while it runs."""
    seconds_left: float | None = None
    """An estimate, while it runs."""
    attempts: int = 0
    reason: str | None = None
    """Why it failed, diverged, was stopped early or cannot be built."""
    stop: Mapping[str, object] | None = None
    """Where it was stopped early: the rule, its band, the value, the threshold, the rank."""

    def to_json(self) -> dict[str, object]:
        """As `sweep status --json` prints it."""
        return asdict(self)


class Viewer:
    """Reads the cells of one sweep again and again; what is done is read once."""

    def __init__(self, folder: SweepFolder, plan: Plan, ledger: Ledger, total_steps: Mapping[str, int | None]) -> None:
        self._folder, self._plan, self._ledger = folder, plan, ledger
        self._totals = total_steps
        self._done: dict[tuple[str, int, str], CellView] = {}
        self._closed = ""

    def follow(self, plan: Plan, total_steps: Mapping[str, int | None]) -> None:
        """Look at another plan of the same folder from now on: it has grown."""
        self._plan, self._totals = plan, total_steps

    def read(self) -> list[CellView]:
        """Every cell, in the plan's order."""
        claims, self._closed = self._ledger.read(), self._ledger.why_closed()
        return [self._view(cell, claims.get(cell.name, Attempts())) for cell in self._plan.cells]

    def _view(self, cell: PlannedCell, known: Attempts) -> CellView:
        if cell.problem is not None:
            return CellView(cell=cell.name, values=cell.values, state="impossible", reason=cell.problem)
        state = self._state(cell.name, known)
        if state in ("waiting", "unneeded"):
            return CellView(cell=cell.name, values=cell.values, state=state, attempts=known.highest)
        key = (cell.name, known.highest, state)
        if key in self._done:
            return self._done[key]
        run = self._folder.cell(cell.name)
        view = (
            self._progress(cell, run, state, known)
            if state in ("running", "stopped")
            else self._ended(cell, run, state, known)
        )
        if state not in ("running", "stopped"):
            self._done[key] = view
        return view

    def _state(self, name: str, known: Attempts) -> State:
        if known.highest == 0 or known.end in OPEN:
            return "unneeded" if self._closed and known.highest == 0 else "waiting"
        if known.end is None:
            return "running" if self._ledger.is_held(name, known) else "stopped"
        return next(state for state in STATES if state == known.end)

    def _progress(self, cell: PlannedCell, run: RunFolder, state: State, known: Attempts) -> CellView:
        step = _number(last_row(run.metrics_file), "step") or 0
        clocked, total = last_row(run.system_file), self._totals.get(cell.name)
        seconds, at = _number(clocked, "seconds"), _number(clocked, "step")
        return CellView(
            cell=cell.name,
            values=cell.values,
            state=state,
            step=int(step),
            total_steps=total,
            metric=newest(run.metrics_file, self._plan.metric),
            seconds=seconds,
            seconds_left=seconds / at * max(0, total - at) if state == "running" and seconds and at and total else None,
            attempts=known.highest,
        )

    def _ended(self, cell: PlannedCell, run: RunFolder, state: State, known: Attempts) -> CellView:
        result = run.read_result()
        error, stop = result.get("error"), result.get("stop")
        return CellView(
            cell=cell.name,
            values=cell.values,
            state=state,
            step=int(_number(result, "steps") or 0),
            total_steps=self._totals.get(cell.name),
            metric=_metric(result, self._plan.metric),
            seconds=_number(result, "seconds"),
            attempts=known.highest,
            reason=str(error) if error else None,
            stop=stop if isinstance(stop, Mapping) else None,
        )


def counts(views: Sequence[CellView]) -> dict[State, int]:
    """How many cells are in each state."""
    return {state: sum(view.state == state for view in views) for state in STATES}


def exit_status(views: Sequence[CellView]) -> int:
    """0 where every valid cell is complete, pruned or unneeded, else 1."""
    return 0 if all(view.state in (*DONE, "impossible", "unneeded") for view in views) else 1


def seconds_left(views: Sequence[CellView], workers: int) -> float | None:
    """An estimate: what the running cells have left, and a cell's mean time for each waiting one, over the workers.

    The mean is that of the complete cells, before the first one of what the running ones will take; None before that.
    """
    running = [view for view in views if view.state == "running"]
    times = [view.seconds for view in views if view.state == "complete" and view.seconds]
    times = times or [view.seconds + view.seconds_left for view in running if view.seconds and view.seconds_left]
    if not times:
        return None
    mean = sum(times) / len(times)
    rests = [mean if view.seconds_left is None else view.seconds_left for view in running]
    waiting = mean * sum(view.state == "waiting" for view in views)
    return max([(sum(rests) + waiting) / max(1, workers), *rests])


def last_row(path: Path) -> dict[str, object]:
    """The last whole row of a .jsonl file; empty where there is none. Reads no more than the file's end."""
    return next(_rows_backwards(path), {})


def newest(path: Path, name: str) -> float | None:
    """The newest value of a metric in the end of a .jsonl file."""
    found = (row.get(name) for row in _rows_backwards(path))
    return next((float(value) for value in found if isinstance(value, int | float)), None)


def _rows_backwards(path: Path) -> Iterator[dict[str, object]]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 50_000))
            lines = file.read().split(b"\n")
    except OSError:
        return
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def _metric(result: Mapping[str, object], name: str) -> float | None:
    for part in ("metrics", "last_metrics"):
        values = result.get(part)
        value = values.get(name) if isinstance(values, Mapping) else None
        if isinstance(value, int | float):
            return float(value)
    return None


def _number(row: Mapping[str, object], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None
