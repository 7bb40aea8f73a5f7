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

State = Literal["waiting", "running", "complete", "pruned", "diverged", "failed", "stopped", "impossible"]
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
    """Of training, where the cell is done."""
    attempts: int = 0
    reason: str | None = None
    """Why it failed, diverged or cannot be built."""

    def to_json(self) -> dict[str, object]:
        """As `sweep status --json` prints it."""
        return asdict(self)


class Viewer:
    """Reads the cells of one sweep again and again; what is done is read once."""

    def __init__(self, folder: SweepFolder, plan: Plan, ledger: Ledger, total_steps: Mapping[str, int | None]) -> None:
        self._folder, self._plan, self._ledger = folder, plan, ledger
        self._totals = total_steps
        self._done: dict[tuple[str, int, str], CellView] = {}

    def read(self) -> list[CellView]:
        """Every cell, in the plan's order."""
        claims = self._ledger.read()
        return [self._view(cell, claims.get(cell.name, Attempts())) for cell in self._plan.cells]

    def _view(self, cell: PlannedCell, known: Attempts) -> CellView:
        if cell.problem is not None:
            return CellView(cell=cell.name, values=cell.values, state="impossible", reason=cell.problem)
        state = self._state(cell.name, known)
        if state == "waiting":
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
            return "waiting"
        if known.end is None:
            return "running" if self._ledger.is_held(name, known) else "stopped"
        return next(state for state in STATES if state == known.end)

    def _progress(self, cell: PlannedCell, run: RunFolder, state: State, known: Attempts) -> CellView:
        row = last_row(run.metrics_file)
        step = row.get("step")
        value = newest(run.metrics_file, self._plan.metric)
        return CellView(
            cell=cell.name,
            values=cell.values,
            state=state,
            step=int(step) if isinstance(step, int | float) else 0,
            total_steps=self._totals.get(cell.name),
            metric=value,
            attempts=known.highest,
        )

    def _ended(self, cell: PlannedCell, run: RunFolder, state: State, known: Attempts) -> CellView:
        result = run.read_result()
        steps, seconds, error = result.get("steps"), result.get("seconds"), result.get("error")
        return CellView(
            cell=cell.name,
            values=cell.values,
            state=state,
            step=int(steps) if isinstance(steps, int | float) else 0,
            total_steps=self._totals.get(cell.name),
            metric=_metric(result, self._plan.metric),
            seconds=float(seconds) if isinstance(seconds, int | float) else None,
            attempts=known.highest,
            reason=str(error) if error else None,
        )


def counts(views: Sequence[CellView]) -> dict[State, int]:
    """How many cells are in each state."""
    return {state: sum(view.state == state for view in views) for state in STATES}


def exit_status(views: Sequence[CellView]) -> int:
    """0 where every valid cell is complete or pruned, else 1."""
    return 0 if all(view.state in (*DONE, "impossible") for view in views) else 1


def seconds_left(views: Sequence[CellView], workers: int) -> float | None:
    """An estimate from the cells that are done: their mean time for each one left, over the workers."""
    times = [view.seconds for view in views if view.state == "complete" and view.seconds]
    if not times:
        return None
    left = 0.0
    for view in views:
        if view.state == "waiting":
            left += 1
        elif view.state == "running":
            left += 1 - min(1.0, view.step / view.total_steps) if view.total_steps else 0.5
    return left * sum(times) / len(times) / max(1, workers)


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
