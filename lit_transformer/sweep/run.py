"""`sweep run` and `sweep retry`: from a sweep file to a folder with every cell's run."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.records.atomic import is_full
from lit_transformer.records.locks import FileLock
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.bayes import Sampler
from lit_transformer.sweep.begin import Stopping, begin_growth, first_cells, stop_rule
from lit_transformer.sweep.cells import Cell, build_cells, swept_keys
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.display import line
from lit_transformer.sweep.driver import RERUN, RETRY, drive, locked
from lit_transformer.sweep.file import SweepFile, find_sweep, read_sweep
from lit_transformer.sweep.foreign import foreign_plan, foreign_slots, freeze_foreign, read_foreign
from lit_transformer.sweep.names import slug
from lit_transformer.sweep.plan import (
    Plan,
    PlannedCell,
    differences,
    read_configs,
    read_plan,
    write_configs,
    write_plan,
)
from lit_transformer.sweep.preparing import Stopped, check_here, never, prepare_cells
from lit_transformer.sweep.requests import StopRequest, set_retries
from lit_transformer.sweep.search import Frozen, freeze_search, read_search, search_differences
from lit_transformer.sweep.slots import Slots, divide
from lit_transformer.sweep.views import CellView

SWEEPS = "sweeps"
"""The folder of sweeps under the output's root."""


def sweep_run(
    sweep: str,
    *,
    overrides: Sequence[str] = (),
    workers: int | None = None,
    seeds: int | None = None,
    output: Path = Path("runs"),
    name: str | None = None,
    allow_drift: bool = False,
    stopper: Stopping | None = None,
    sampler: Sampler | None = None,
    per_device: int | None = None,
    retries: int = 0,
    choice: Choice | None = None,
) -> tuple[int, Path]:
    """Run a sweep file, or go on with it where its folder exists; the exit status and the sweep's folder.

    0 when every valid cell is complete or pruned, 130 or 143 when a signal stopped it, else 1. Raises UserError before
    the first trial for what the user can mend: the file, the overrides, data, a folder that another driver runs or
    that holds another sweep. `stopper` replaces the rule that early_terminate names, `sampler` is what proposes the
    cells of a bayes sweep. A cell that fails is run again `retries` times.
    """
    check_retries(retries)
    file = read_sweep(find_sweep(sweep))
    for note in file.notes:
        print(note, file=sys.stderr)
    search = asked_search(file, overrides, seeds, choice, stopper, sampler)
    cells = asked_cells(file, search, overrides, seeds, choice)
    folder = sweep_folder(file, output, name)
    request = StopRequest(folder)  # who asks from now on means this sweep, also while data are prepared

    def place(cells: Sequence[Cell]) -> Slots:
        if file.ours:
            return divide(cells, workers, _frozen_threads(folder), per_device)
        return foreign_slots(workers, per_device)

    try:
        with locked(folder):
            plan, slots = frozen_plan(
                folder, file, search, cells, overrides, seeds, choice, place=place, stop=request.asked
            )
            set_retries(folder, retries)
            announce(folder, plan, slots)
            status = drive(folder, plan, slots, RERUN, allow_drift=allow_drift, since=request.since)
    except Stopped:
        print("stopped: asked by `sweep stop` before the first trial", file=sys.stderr)
        status = 1
    except OSError as error:
        if is_full(error):
            raise UserError(
                f"The disk is full ({error}). Free some space for {folder.path} and run it again."
            ) from None
        raise
    if status:
        command = _command(sweep, overrides, seeds, output, name, choice or Choice(), stopper, sampler)
        print(f"the same command continues: {command}", file=sys.stderr)
    return status, folder.path


def asked_search(
    file: SweepFile,
    overrides: Sequence[str],
    seeds: int | None,
    choice: Choice | None,
    stopper: Stopping | None,
    sampler: Sampler | None,
) -> Frozen:
    """How a file is searched, stops its trials and ends; raises UserError."""
    growth = begin_growth(file, overrides, seeds, choice, sampler)
    return Frozen(stop=stop_rule(file, stopper), growth=growth, target=file.metric.target)


def asked_cells(
    file: SweepFile, search: Frozen, overrides: Sequence[str], seeds: int | None, choice: Choice | None
) -> Sequence[Cell]:
    """The cells that a sweep of our own begins with; raises UserError."""
    if search.growth is not None:
        return first_cells(search.growth)
    return build_cells(file, overrides, seeds, choice) if file.ours else []


def frozen_plan(
    folder: SweepFolder,
    file: SweepFile,
    search: Frozen,
    cells: Sequence[Cell],
    overrides: Sequence[str],
    seeds: int | None,
    choice: Choice | None,
    *,
    place: Callable[[Sequence[Cell]], Slots],
    check: Callable[[ExperimentConfig], None] = check_here,
    stop: Callable[[], bool] = never,
) -> tuple[Plan, Slots]:
    """Freeze what a file asks for in its folder, or see that it is the same; the plan, and where its cells run.

    `place` divides machines among the cells that there will be; `check` raises UserError for one that they cannot
    train, and Stopped is raised where `stop` comes true while data are prepared. The sweep's lock must be held.
    """
    if file.ours:
        slots = place(list(cells) * (search.growth.cap if search.growth else 1))
        plan = make_plan(file, cells, slots, seeds, check, stop)
    else:
        slots = place([])
        plan = foreign_plan(file, slots.threads, overrides=overrides, seeds=seeds, choice=choice, first=cells)
    _refuse(folder, freeze_foreign(folder, file))
    asked = frozen_request(file, overrides, seeds, slots, choice or Choice())
    freeze(folder, plan, asked, _for_machine(search, slots))
    return plan if search.growth is None else read_plan(folder), slots  # with what was proposed since


def sweep_retry(
    path: Path,
    *,
    workers: int | None = None,
    allow_drift: bool = False,
    per_device: int | None = None,
    retries: int = 0,
) -> tuple[int, Path]:
    """Go on with the failed, diverged and missing cells of a sweep's folder; as `sweep_run` otherwise."""
    check_retries(retries)
    folder = SweepFolder(path)
    plan = read_plan(folder)
    with locked(folder):
        slots = slots_of(folder, plan, workers, per_device)
        set_retries(folder, retries)
        announce(folder, plan, slots)
        return drive(folder, plan, slots, RETRY, allow_drift=allow_drift), folder.path


def slots_of(folder: SweepFolder, plan: Plan, workers: int | None, per_device: int | None) -> Slots:
    """This machine divided for the cells of a frozen sweep; raises UserError."""
    if read_foreign(folder) is not None:
        return foreign_slots(workers, per_device)
    return divide(planned_cells(folder), workers, plan.threads, per_device)


def planned_cells(folder: SweepFolder) -> list[Cell]:
    """The valid cells of a frozen sweep, those of a bayes sweep as often as may come, for dividing a machine."""
    cells = [Cell(name=name, values=cell.values, config=cell.config) for name, cell in read_configs(folder).items()]
    growth = read_search(folder).growth
    return cells * growth.cap if growth else cells


def check_retries(retries: int) -> None:
    """Raises UserError for a number of retries that is none."""
    if retries < 0:
        raise UserError(f"--retries {retries}: a failed cell is run again 0 times or more.")


def make_plan(
    file: SweepFile,
    cells: Sequence[Cell],
    slots: Slots,
    seeds: int | None = None,
    check: Callable[[ExperimentConfig], None] = check_here,
    stop: Callable[[], bool] = never,
) -> Plan:
    """Prepare the data and put everything that the cells need together.

    Raises UserError where none can be run, and Stopped as `prepare_cells`.
    """
    return Plan(
        name=file.name,
        metric=file.metric.name,
        goal=file.metric.goal,
        swept=swept_keys(file, seeds),
        threads=slots.threads,
        cells=prepare_cells(cells, _settings(slots), check, stop=stop),
    )


def _settings(slots: Slots) -> dict[str, object]:
    return {"trainer.threads": slots.threads, "trainer.accelerator": slots.accelerator}


def _for_machine(search: Frozen, slots: Slots) -> Frozen:
    return replace(search, growth=replace(search.growth, settings=_settings(slots)) if search.growth else None)


def sweep_folder(file: SweepFile, output: Path, name: str | None) -> SweepFolder:
    """Where a sweep's cells go: its name under the output's sweeps/."""
    return SweepFolder(output / SWEEPS / slug(name or file.name))


def _frozen_threads(folder: SweepFolder) -> int | None:
    return read_plan(folder).threads if folder.exists() else None


def frozen_request(
    file: SweepFile, overrides: Sequence[str], seeds: int | None, slots: Slots, choice: Choice
) -> dict[str, object]:
    """What was asked for, as sweep.yaml keeps it."""
    given = dict(shell_layer(overrides).values)
    chosen = {"count": choice.count, "search_seed": choice.seed}
    return {"sweep": file.source, "file": file.shown, "overrides": given, "seeds": seeds, **chosen,
            "workers": slots.workers}  # fmt: skip


def freeze(folder: SweepFolder, plan: Plan, frozen: Mapping[str, object], search: Frozen) -> None:
    """Write a new sweep's plan, or see that the folder's is the same. Raises UserError with the differences."""
    if not folder.exists():
        freeze_search(folder, search)
        write_plan(folder, plan, frozen)
        return
    _refuse(folder, differences(folder, plan, grows=search.growth is not None) + search_differences(folder, search))
    known = read_configs(folder)
    if search.growth is not None:
        freeze_search(folder, search)  # run_cap may have grown
    elif any(known[cell.name].prepared != cell.prepared for cell in plan.valid()):
        with FileLock(folder.path / ".plan-lock"):  # `sweep extend` may be adding cells
            write_configs(folder, _with_frozen_configs(plan, read_configs(folder)))  # the same data in another place


def _refuse(folder: SweepFolder, different: Sequence[str]) -> None:
    """Raise UserError where a sweep's folder and what was asked for are different."""
    if different:
        more = [f"  ... and {len(different) - 20} more"] if len(different) > 20 else []
        lines = "\n".join([*(f"  {text}" for text in different[:20]), *more])
        raise UserError(
            f"{folder.path} holds another sweep than the one asked for (folder -> now):\n{lines}\n"
            "  fix      give the new one a name of its own (--name NAME), or go on with what the folder holds: "
            f"{agent_command(folder)}"
        )


def agent_command(folder: SweepFolder) -> str:
    """What runs the open cells of a sweep's folder, whatever has become of its file."""
    return shlex.join(["lit-transformer", "sweep", "agent", str(folder.path)])


def _with_frozen_configs(plan: Plan, known: Mapping[str, PlannedCell]) -> Plan:
    cells = [
        replace(cell, config=known[cell.name].config, origins=known[cell.name].origins) if cell.name in known else cell
        for cell in plan.cells
    ]
    return replace(plan, cells=cells)


def announce(folder: SweepFolder, plan: Plan, slots: Slots) -> None:
    """Say on standard error what is about to run, and which cells cannot."""
    each = f"{slots.devices} ranks of {slots.threads}" if slots.devices > 1 else f"{slots.threads}"
    where = f"{slots.devices} GPU" if slots.gpus else f"{each} thread{'s' if slots.threads > 1 else ''}"
    growth = read_search(folder).growth
    what = f"{growth.cap} points at most" if growth else f"{len(plan.valid())} cells"
    print(f"{what} in {folder.path}: {slots.workers} workers, {where} a trial", file=sys.stderr)
    announce_impossible(plan)


def announce_impossible(plan: Plan) -> None:
    """Say on standard error which cells cannot be run, and why."""
    for cell in plan.cells:
        if cell.problem is not None:
            view = CellView(cell=cell.name, values=cell.values, state="impossible", reason=cell.problem)
            print(line(view, plan.metric), file=sys.stderr)


def _command(
    sweep: str,
    overrides: Sequence[str],
    seeds: int | None,
    output: Path,
    name: str | None,
    choice: Choice,
    stopper: str | None,
    sampler: str | None,
) -> str:
    words = ["lit-transformer", "sweep", "run", sweep]
    words += ["--count", str(choice.count)] if choice.count is not None else []
    words += ["--search-seed", str(choice.seed)] if choice.seed else []
    words += ["--seeds", str(seeds)] if seeds is not None else []
    words += ["--output", str(output)] if output != Path("runs") else []
    words += ["--name", name] if name else []
    words += ["--stopper", stopper] if stopper else []
    words += ["--sampler", sampler] if sampler else []
    return shlex.join([*words, *overrides])
