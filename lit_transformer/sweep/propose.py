"""Who proposes the next cells of a sweep that grows, and how they come into its plan.

Any worker that finds no cell to claim may be the leader for one proposal: it takes the lease, a claim on the number of
points so far in `proposals/`, asks the sampler, and writes the new cells into the plan, whole, by rename. A leader that
dies leaves a lease that the next one takes over, and a plan with the new cells or without them. The plan is written
under a lock, and only while it still has the number of points that the leader has seen: nothing is proposed twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.locks import FileLock
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.bayes import Seen, State, ask_child, suggest
from lit_transformer.sweep.cells import Cell
from lit_transformer.sweep.foreign import planned
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.judge import logged
from lit_transformer.sweep.ledger import Attempts, Claim, End, Ledger, beating, read_claims, why_closed
from lit_transformer.sweep.names import identity
from lit_transformer.sweep.plan import Plan, PlannedCell, read_configs, read_plan, write_cells
from lit_transformer.sweep.points import Points
from lit_transformer.sweep.preparing import check_nothing, never, prepare_cells
from lit_transformer.sweep.search import Growth, read_search

DRAWS = 20
"""How often the sampler is asked again where it names a point that is there already."""
RANDOM_DRAWS = 500
"""How often chance is, before a list of points counts as used up."""
ENDED = "ended.json"
STATES: dict[End, State] = {"complete": "complete", "pruned": "pruned", "failed": "failed", "diverged": "failed"}


class Next(Enum):
    """What a worker without a cell does next."""

    GROWN = auto()
    """Read the plan again: it has new cells."""
    WAIT = auto()
    """Another worker is about to propose."""
    OVER = auto()
    """Nothing more is proposed."""


class Proposer:
    """One worker's part in the growth of a sweep."""

    def __init__(self, folder: SweepFolder, growth: Growth, holder: Holder, stop: Callable[[], bool] = never) -> None:
        """`stop` says that preparing data is to end at once."""
        self._folder, self._growth, self._holder, self._stop = folder, growth, holder, stop
        self._points = Points(growth)

    def propose(self) -> Next:
        """Propose the next point, unless another worker does or there is none left; raises OSError and UserError.

        Raises Stopped where it was asked to stop while data were prepared for it.
        """
        plan = read_plan(self._folder)
        count = len(points_of(plan.cells))
        if count >= self._growth.cap or why_ended(self._folder) or why_closed(self._folder.claims):
            return Next.OVER
        lease = Ledger(self._folder.proposals, [str(count)], self._holder).claim()
        if lease is None:
            return Next.GROWN if len(points_of(read_plan(self._folder).cells)) > count else Next.WAIT
        try:
            with beating(lease):  # preparing data or a Gaussian process take as long as they take
                return self._lead(plan, count, lease)
        except BaseException:
            lease.end("again")  # whoever comes next need not wait for the lease to grow old
            raise

    def _lead(self, plan: Plan, count: int, lease: Claim) -> Next:
        seen = seen_points(self._folder, plan, self._growth.search.goal)
        cells = self._cells(plan, seen, count)
        if not cells:
            write_json(self._folder.proposals / ENDED, {"why": "every point of the search is there"})
            lease.end("complete")
            return Next.OVER
        if not grow(self._folder, cells, count):
            lease.end("again")
            return Next.GROWN
        lease.end("complete")
        return Next.GROWN

    def _cells(self, plan: Plan, seen: Sequence[Seen], count: int) -> list[PlannedCell]:
        """The cells of a point that is not there yet, ready to be run or with their problem; empty where none is."""
        searched = [axis.key for axis in self._growth.search.axes]
        known = {identity([cell.values.get(key) for key in searched]) for cell in plan.cells}
        frozen = read_configs(self._folder)
        there = [replace(frozen[cell.name], values=cell.values) for cell in plan.cells if cell.name in frozen]
        for u in self._suggestions(seen, count):
            values = self._points.values(u)
            if identity([values[key] for key in searched]) not in known:
                return [self._ready(cell, there) for cell in self._points.cells(u, count)]
        return []

    def _suggestions(self, seen: Sequence[Seen], count: int) -> Iterator[tuple[float, ...]]:
        search = self._growth.search
        ask = ask_child if search.sampler == "gp" else suggest
        for draw in range(DRAWS):
            yield ask(search, seen, count, draw)
        for draw in range(DRAWS, DRAWS + RANDOM_DRAWS):
            yield suggest(search, [], count, draw)

    def _ready(self, cell: Cell, there: Sequence[PlannedCell]) -> PlannedCell:
        """The cell with what its data decide: as in a cell that differs in nothing that data depend on, else asked."""
        if not self._points.ours:
            return planned(cell)
        if cell.problem is None:
            for other in there:
                if self._points.same_data(cell, other):
                    return self._points.like(cell, other)
        return prepare_cells([cell], self._growth.settings, check_nothing, need=False, stop=self._stop)[0]


def grow(folder: SweepFolder, cells: Sequence[PlannedCell], count: int) -> bool:
    """Add a point's cells to a plan of `count` points; False, with nothing written, where it has another number."""
    with FileLock(folder.path / ".plan-lock"):
        plan, known = read_plan(folder), read_configs(folder)
        if len(points_of(plan.cells)) != count:
            return False
        whole = [replace(known.get(cell.name, cell), values=cell.values, problem=cell.problem, u=cell.u)
                 for cell in plan.cells]  # fmt: skip
        write_cells(folder, replace(plan, cells=[*whole, *cells]))
    return True


def points_of(cells: Sequence[PlannedCell]) -> dict[tuple[float, ...], list[PlannedCell]]:
    """The cells of each point, in the order of the points; cells that a person added have none."""
    found: dict[tuple[float, ...], list[PlannedCell]] = {}
    for cell in cells:
        if cell.u:
            found.setdefault(tuple(cell.u), []).append(cell)
    return found


def unproposed(folder: SweepFolder, cells: Sequence[PlannedCell]) -> int:
    """How many points a sweep that grows is still to propose; 0 for every other sweep."""
    growth = read_search(folder).growth
    over = growth is None or why_ended(folder) or why_closed(folder.claims)
    return 0 if growth is None or over else max(0, growth.cap - len(points_of(cells)))


def why_ended(folder: SweepFolder) -> str:
    """Why nothing more is proposed although there are fewer points than `run_cap`; empty where there is no reason."""
    return str(read_json(folder.proposals / ENDED).get("why") or "")


def seen_points(folder: SweepFolder, plan: Plan, goal: str) -> list[Seen]:
    """What came of every point, from the claims, the results and the logs of its cells."""
    claims = read_claims(folder.claims)
    return [
        _seen(u, [_seen_cell(folder, cell, plan.metric, claims) for cell in cells], goal)
        for u, cells in points_of(plan.cells).items()
    ]


def _seen(u: tuple[float, ...], cells: Sequence[Seen], goal: str) -> Seen:
    """A point's replicates as one: the mean of their best values, once all have ended."""
    if len(cells) == 1:
        return replace(cells[0], u=u)
    complete = [item for item in cells if item.state == "complete" and item.values]
    if any(item.state == "running" for item in cells):
        return Seen(u=u, state="running")
    if complete:
        best = [min(item.values) if goal == "minimize" else max(item.values) for item in complete]
        return Seen(u=u, state="complete", values=(sum(best) / len(best),))
    return replace(next((item for item in cells if item.state == "pruned"), cells[0]), u=u)


def _seen_cell(folder: SweepFolder, cell: PlannedCell, metric: str, claims: Mapping[str, Attempts]) -> Seen:
    if cell.problem is not None:
        return Seen(u=(), state="failed")
    end = claims[cell.name].end if cell.name in claims else None
    state = STATES.get(end, "running") if end else "running"  # stopped and lost ones go on
    return Seen(u=(), state=state, values=tuple(logged(folder.cell(cell.name), metric)))
