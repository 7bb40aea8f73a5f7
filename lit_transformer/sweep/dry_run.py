"""`sweep run --dry-run`: every cell's size, and the cells that cannot be built, before anything is trained."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.bayes import Sampler
from lit_transformer.sweep.begin import Stopping, startup_cells
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.display import duration
from lit_transformer.sweep.file import find_sweep, read_sweep
from lit_transformer.sweep.foreign import foreign_plan, foreign_slots
from lit_transformer.sweep.judge import StopRule
from lit_transformer.sweep.plan import Plan
from lit_transformer.sweep.preparing import SIZE, ask, check_here
from lit_transformer.sweep.propose import points_of
from lit_transformer.sweep.replicates import point_name, points
from lit_transformer.sweep.run import asked_cells, asked_search, make_plan, sweep_folder
from lit_transformer.sweep.slots import Slots, divide
from lit_transformer.sweep.slurm import pilot_slots
from lit_transformer.sweep.slurm_checks import check_pilot
from lit_transformer.sweep.slurm_settings import PilotSettings
from lit_transformer.sweep.submission import Submission, check_options, submission

TITLES = {"trainer.max_steps": "steps"}
"""What a solved setting is called in the table, where its own last part says less."""


@dataclass(frozen=True)
class DryRun:
    """What a sweep would run."""

    plan: Plan
    slots: Slots
    sizes: Mapping[str, Mapping[str, float]]
    """Valid cell -> parameters, flops_per_token, memory_bytes, and seconds where a speed is known."""
    flops_per_second: float | None
    """Of one rank; what the times are estimated with. None where nothing here could measure it."""
    measured: bool
    """Whether finished cells of this sweep measured it, and not a matrix product and a usual efficiency."""
    points: int = 0
    """Of a bayes sweep: those shown, which do not depend on results."""
    unproposed: int = 0
    """Points after them, which do."""
    stop: StopRule | None = None
    """How trials are stopped early."""
    target: float | None = None
    """The value of the metric that ends the sweep."""
    submission: Submission | None = None
    """The pilots of a sweep that is to run on SLURM; `slots` then counts the trials of all of them."""

    @property
    def seconds(self) -> float:
        """Estimated time of the whole sweep."""
        times = [size["seconds"] for size in self.sizes.values() if "seconds" in size] or [0.0]
        whole = 1 + self.unproposed / self.points if self.points else 1
        return max(whole * sum(times) / self.slots.workers, *times)

    def to_json(self) -> dict[str, object]:
        """What `sweep run --dry-run --json` prints."""
        cells = [
            {"cell": cell.name, "values": dict(cell.values), "problem": cell.problem, "solved": dict(cell.solved),
             **self.sizes.get(cell.name, {})}
            for cell in self.plan.cells
        ]  # fmt: skip
        slots = {"workers": self.slots.workers, "threads": self.slots.threads, "devices": self.slots.devices,
                 "gpus": [list(gpus) for gpus in self.slots.gpus]}  # fmt: skip
        return {"version": 1, "name": self.plan.name, **slots, "seconds": self.seconds, "cells": cells,
                "unproposed": self.unproposed,
                "stop": self.stop.to_json() if self.stop else None, "target": self.target,
                **({"slurm": self.submission.to_json()} if self.submission else {})}  # fmt: skip


def sweep_dry_run(
    sweep: str,
    *,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    seeds: int | None = None,
    output: Path = Path("runs"),
    name: str | None = None,
    choice: Choice | None = None,
    stopper: Stopping | None = None,
    sampler: Sampler | None = None,
    per_device: int | None = None,
    pilots: PilotSettings | None = None,
) -> DryRun:
    """Prepare the data and size every cell; raises UserError as `sweep_run` does. Writes nothing but prepared data.

    A program of the user's cannot be sized: its cells come without sizes. With `pilots` the sweep is to run on SLURM,
    and what `sweep_on_slurm` would submit is shown; UserError as there, but not where there is no SLURM.
    """
    if pilots is not None:
        check_options(pilots)
    file = read_sweep(find_sweep(sweep))
    for note in file.notes:
        print(note, file=sys.stderr)
    search, folder = asked_search(file, overrides, seeds, choice, stopper, sampler), sweep_folder(file, output, name)
    growth = search.growth
    cells = startup_cells(growth) if growth else asked_cells(file, search, overrides, seeds, choice)
    if pilots is not None:
        slots = pilot_slots(folder, pilots)
    else:
        slots = divide(cells, workers, per_device=per_device) if file.ours else foreign_slots(workers, per_device)
    if file.ours:
        check = check_here if pilots is None else partial(check_pilot, pilots=pilots)
        plan = make_plan(file, cells, slots, seeds, check)
    else:
        plan = foreign_plan(file, slots.threads, overrides=overrides, seeds=seeds, choice=choice, first=cells)
    submitted = None
    if pilots is not None:
        submitted = submission(folder, plan, pilots, per_device or 1)
        slots = replace(submitted.slots, workers=pilots.pilots * submitted.slots.workers, gpus=())
    sizes, speed, measured = _sized(plan, slots, finished_rate(folder)) if file.ours else ({}, None, False)
    proposed = len(points_of(plan.cells))
    return DryRun(
        plan=plan,
        slots=slots,
        sizes=sizes,
        flops_per_second=speed,
        measured=measured,
        points=proposed,
        unproposed=growth.cap - proposed if growth else 0,
        stop=search.stop,
        target=search.target,
        submission=submitted,
    )


def _sized(
    plan: Plan, slots: Slots, rate: float | None
) -> tuple[Mapping[str, Mapping[str, float]], float | None, bool]:
    """The sizes of the valid cells, the FLOP/s that their times are estimated with, and whether cells measured it."""
    request = [
        {
            "cell": cell.name,
            "config": cell.config,
            "tokens": cell.prepared.get("tokens") or cell.prepared.get("pixels", {}),
            "rows": cell.prepared.get("rows") or cell.prepared.get("images"),
        }
        for cell in plan.valid()
    ]
    answer = ask(SIZE, {"cells": request, "rate": rate, "threads": slots.threads})
    sizes, speed = answer["cells"], answer["flops_per_second"]
    assert isinstance(sizes, dict) and isinstance(speed, int | float | None)
    return sizes, speed, bool(answer["measured"])


def finished_rate(folder: SweepFolder) -> float | None:
    """FLOP/s of one rank in this sweep's complete cells, the median; None where there are none."""
    rates = []
    for path in sorted(folder.cells.glob("*")) if folder.cells.is_dir() else []:
        result = folder.cell(path.name).read_result()
        flops, speed = result.get("flops_per_token"), result.get("tokens_per_second")
        if result.get("status") == "complete" and isinstance(flops, int | float) and isinstance(speed, int | float):
            rates.append(flops * speed)
    return statistics.median(rates) if rates and min(rates) > 0 else None


def print_dry_run(dry: DryRun) -> None:
    """The table on standard output, for a person: replicates, which differ in their seed alone, share a row."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    solved = list(dict.fromkeys(key for cell in dry.plan.cells for key in cell.solved))
    table = Table(box=None, pad_edge=False)
    table.add_column("cell", overflow="fold")
    titles = [TITLES.get(key, key.rpartition(".")[2]) for key in solved]
    for title in (*titles, "parameters", f"FLOPs/{_unit(dry)}", "memory", "time"):
        table.add_column(title, justify="right")
    for replicates in points(dry.plan.valid()):
        cell = replicates[0]
        size = dry.sizes.get(cell.name)
        name = Text(point_name(cell.values, len(replicates)) if len(replicates) > 1 else cell.name)
        if size is None:
            table.add_row(name, *("" for _ in (*solved, "", "", "", "")))
            continue
        table.add_row(
            name,
            *(str(cell.solved.get(key, "")) for key in solved),
            f"{size['parameters']:,.0f}",
            f"{size['flops_per_token']:.3g}",
            f"{size['memory_bytes'] / 2**30:.2f} GiB",
            duration(size["seconds"]) if "seconds" in size else "",
        )
    console.print(table)
    for cell in dry.plan.cells:
        if cell.problem is not None:
            console.print(f"impossible  {cell.name}: {cell.problem}", markup=False)
    if dry.unproposed:
        console.print(f"{dry.unproposed} points more are proposed from results", markup=False)
    if dry.target is not None:
        console.print(f"no cell is begun once {dry.plan.metric} has reached {dry.target:g} in one", markup=False)
    if dry.stop is not None:
        console.print(f"trials that fall behind are stopped early: {dry.stop}", markup=False)
    for line in dry.submission.lines() if dry.submission else ():
        console.print(line, markup=False, soft_wrap=True)
    console.print(_footer(dry), markup=False)


def _unit(dry: DryRun) -> str:
    return "pixel" if any("pixels" in cell.prepared for cell in dry.plan.cells) else "token"


def _footer(dry: DryRun) -> str:
    slots, gpus = dry.slots, {gpu for group in dry.slots.gpus for gpu in group}
    workers = f"{slots.workers} workers" + (f" on {len(gpus)} GPUs" if gpus else "")
    if not dry.sizes:
        return f"{len(dry.plan.valid())} cells, {workers}, each with the file's own command; nothing was run"
    cells = f"{len(dry.plan.valid())} cells, {workers}, {slots.devices} x {slots.threads} threads a trial"
    if dry.flops_per_second is None:
        return f"{cells}; for a time a cell must be finished: this machine has no GPU to measure; nothing was trained"
    basis = "measured by its finished cells" if dry.measured else "a matrix product's speed at a usual efficiency"
    here = " of this machine" if dry.submission and not dry.measured else ""
    return (
        f"{cells}: about {duration(dry.seconds)} "
        f"({dry.flops_per_second / 1e9:.1f} GFLOP/s a rank, {basis}{here}); nothing was trained"
    )
