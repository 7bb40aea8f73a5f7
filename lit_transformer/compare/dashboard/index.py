"""All runs and sweeps under a folder in memory, brought up to date when a page asks."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.compare.comparison import Comparison, comparison_of
from lit_transformer.compare.dashboard.live_run import LiveRun, Mark, mark_of, run_id
from lit_transformer.compare.dashboard.standing import Judging
from lit_transformer.compare.dashboard.walk import Walk
from lit_transformer.compare.plan import Plan, read_plan
from lit_transformer.compare.read import Row, existing_folder, gather, read_run
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder

SHARE = 0.1
"""Of one core at most is spent on looking, so that training beside it goes on as before."""
SOONEST, LATEST = 0.5, 2.0
"""Seconds between two looks: no sooner, and no later while a page is open."""
CURVE_BYTES = 200_000_000


@dataclass(frozen=True)
class Sweep:
    """A sweep's folder and plan; the plan is None where it is damaged."""

    id: str
    name: str
    folder: SweepFolder
    plan: Plan | None


@dataclass(frozen=True)
class View:
    """Everything under the root at one moment; never changed, so pages read it without a lock."""

    version: int
    rows: list[Row]
    ids: list[str]
    """Of each row."""
    colours: dict[str, int]
    """id -> place in the order of appearance, which decides a run's colour in every view."""
    sweeps: list[Sweep]
    notes: tuple[str, ...]
    etas: dict[str, float]
    changed: dict[str, int]
    """id -> the version in which the run changed last."""
    places: dict[str, int] = field(default_factory=dict)

    def row(self, id: str) -> Row | None:
        """The row of an id; None where there is no such run."""
        place = self.places.get(id)
        return None if place is None else self.rows[place]

    def sweep(self, id: str) -> Sweep | None:
        """The sweep of an id; None where there is none."""
        return next((sweep for sweep in self.sweeps if sweep.id == id), None)


class LiveIndex:
    """The runs and sweeps at or under a folder. Raises UserError where it is missing or cannot be listed."""

    def __init__(self, directory: str | Path) -> None:
        self.root = existing_folder(directory)
        self.judging = Judging()
        self._walk = Walk(self.root)
        self._lock = threading.Lock()
        self._runs: dict[str, LiveRun] = {}  # by path
        self._by_id: dict[str, LiveRun] = {}
        self._plans: dict[Path, tuple[Mark, Plan | None]] = {}
        self._order: dict[str, int] = {}
        self._next = 0.0
        self._used: dict[str, None] = {}
        self._comparisons: tuple[int, dict[str, Comparison]] = (0, {})
        self._known: object = None
        self.view = View(0, [], [], {}, [], (), {}, {})
        self.refresh(force=True)

    def refresh(self, *, force: bool = False) -> View:
        """Look at what changed on disk, unless that was done a moment ago; the newest view."""
        if not force and time.monotonic() < self._next:
            return self.view
        with self._lock:
            begun = time.monotonic()
            if force or begun >= self._next:
                self._look()
                spent = time.monotonic() - begun
                self._next = begun + min(LATEST, max(SOONEST, spent / SHARE))
        return self.view

    def _look(self) -> None:
        found = self._walk.look()
        plans = self._read_plans(found.plans)
        paths = dict.fromkeys(str(path) for path in found.runs)
        for plan in plans.values():
            paths |= dict.fromkeys(str(plan.folder.cell(cell.cell).path) for cell in plan.cells)
        self._runs = {path: self._runs.get(path) or self._new(path) for path in paths}
        self._by_id = {run.id: run for run in self._runs.values()}
        version = self.view.version + 1
        moved = [run for run in self._runs.values() if run.look()]
        for run in moved:
            run.version = version
        known = (list(paths), [(path, mark) for path, (mark, _) in self._plans.items()], found.unreadable)
        if moved or known != self._known or not self.view.version:
            self._known = known
            self.view = self._new_view(version, plans, [RunFolder(path) for path in found.runs], found.unreadable)

    def _new(self, path: str) -> LiveRun:
        return LiveRun(self.root, RunFolder(Path(path)))

    def _read_plans(self, folders: list[Path]) -> dict[Path, Plan]:
        fresh: dict[Path, tuple[Mark, Plan | None]] = {}
        for path in folders:
            folder = SweepFolder(path)
            mark = mark_of(str(folder.plan_file))
            known = self._plans.get(path)
            fresh[path] = known if known and known[0] == mark else (mark, read_plan(folder))
        self._plans = fresh
        return {path: plan for path, (_, plan) in fresh.items() if plan is not None}

    def _new_view(self, version: int, plans: dict[Path, Plan], runs: list[RunFolder], unread: list[Path]) -> View:
        rows = gather(self.root, list(plans.values()), runs, self._row)
        ids = [run_id(row.run) for row in rows]
        for id in ids:
            self._order.setdefault(id, len(self._order))
        sweeps = [
            Sweep(
                run_id(path.relative_to(self.root).as_posix()),
                plan.name if plan else path.name,
                SweepFolder(path),
                plan,
            )
            for path, (_, plan) in self._plans.items()
        ]
        notes = [
            f"{self._name(s.folder.plan_file)} is damaged: cells without a run are not shown"
            for s in sweeps
            if not s.plan
        ]
        notes += [f"{self._name(path)} cannot be read: what it holds is not shown" for path in unread]
        etas = {id: eta for id, run in self._by_id.items() if (eta := run.eta()) is not None}
        changed = {id: run.version for id, run in self._by_id.items()}
        return View(
            version, rows, ids, dict(self._order), sweeps, tuple(notes), etas, changed,
            {id: place for place, id in enumerate(ids)},
        )  # fmt: skip

    def _row(self, root: Path, run: RunFolder) -> Row:
        live = self._runs.get(str(run.path))
        return live.row if live else read_run(root, run)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def run(self, id: str) -> LiveRun | None:
        """The run of an id; None where there is none, or a planned cell was not begun."""
        view = self.view
        row = view.row(id)
        return self._by_id.get(id) if row is not None and row.status not in ("missing", "impossible") else None

    def runs(self, ids: Iterable[str]) -> list[LiveRun]:
        """The runs of those ids that there are; the curves of others are let go where they fill the memory."""
        found = [run for id in ids if (run := self.run(id)) is not None]
        for run in found:
            self._used.pop(run.id, None)
            self._used[run.id] = None
        held = sum(run.size for run in list(self._by_id.values()))
        for id in list(self._used):
            if held <= CURVE_BYTES:
                break
            run = self._by_id.get(id)
            if run is not None and run not in found:
                held -= run.size
                run.forget()
                self._used.pop(id, None)
        return found

    def comparison(self, sweep: str = "") -> Comparison:
        """The view, or the sweep of an id in it, as what tables and figures take; made once a version."""
        view = self.view
        version, kept = self._comparisons
        if version != view.version:
            kept = {}
            self._comparisons = (view.version, kept)
        made = kept.get(sweep)
        if made is None:
            found = view.sweep(sweep)
            plan = found.plan if found else None
            if plan is not None:
                made = comparison_of(self.root, [plan], gather(self.root, [plan], [], self._row), view.notes)
            else:
                plans = [one.plan for one in view.sweeps if one.plan is not None]
                made = comparison_of(self.root, plans, view.rows, view.notes)
            kept[sweep] = made
        return made

    def warm(self) -> None:
        """Read all curves, as far as they fit into memory, before somebody asks for them."""
        held = 0
        for run in list(self._by_id.values()):
            run.series()
            held += run.size
            if held > CURVE_BYTES // 2:
                return
            time.sleep(0.001)  # lets a page that waits go first
