"""`sweep extend`: a changed sweep file adds cells to a sweep's folder, also while workers run it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten, shell_value
from lit_transformer.records.locks import FileLock
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.cells import build_cells, swept_keys
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.file import SweepFile, find_sweep, frozen_sweep, read_sweep
from lit_transformer.sweep.foreign import foreign_plan, freeze_foreign
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.judge import Histories
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.plan import Plan, PlannedCell, changed_settings, read_configs, read_plan, write_plan
from lit_transformer.sweep.preparing import check_nothing, prepare_cells
from lit_transformer.sweep.run import agent_command
from lit_transformer.sweep.search import freeze_search, read_search
from lit_transformer.sweep.sections import EarlyTerminate
from lit_transformer.sweep.target import Target


@dataclass(frozen=True)
class Extension:
    """What a file would make of a frozen sweep."""

    folder: Path
    added: Sequence[PlannedCell]
    kept: Sequence[str]
    """Cells that the file still has."""
    gone: Sequence[str]
    """Cells that the file no longer has, which stay all the same."""
    changed: Sequence[str] = ()
    """What else the file changes of the sweep, old -> new."""
    done: bool = False
    """Whether the folder was changed, and not only looked at."""

    @property
    def command(self) -> str:
        """What runs the new cells; empty where there is nothing new to run."""
        new = self.changed or any(cell.problem is None for cell in self.added)
        return agent_command(SweepFolder(self.folder)) if new else ""

    def lines(self) -> list[str]:
        """The difference, for a person."""
        signs = [("+", [cell.name for cell in self.added]), ("=", self.kept), ("-", self.gone)]
        notes = {"-": "  (no longer in the file; it stays)"}
        shown = [f"{sign} {name}{notes.get(sign, '')}" for sign, names in signs for name in names if sign != "="]
        counts = f"{len(self.added)} new cells, {len(self.kept) + len(self.gone)} stay"
        impossible = [f"  impossible  {cell.name}: {cell.problem}" for cell in self.added if cell.problem is not None]
        changed = [f"~ {text}" for text in self.changed]
        run = [f"workers that run the sweep take them; where none does: {self.command}"]
        return [*shown, *impossible, *changed, counts, *(run if self.done and self.command else [])]

    def to_json(self) -> dict[str, object]:
        """What `sweep extend --json` prints."""
        added = [{"cell": cell.name, "values": dict(cell.values), "problem": cell.problem} for cell in self.added]
        return {"version": 1, "folder": str(self.folder), "added": added, "kept": [*self.kept], "gone": [*self.gone],
                "changed": [*self.changed], "command": self.command}  # fmt: skip


def sweep_extend(path: Path, sweep: str, *, seeds: int | None = None, dry_run: bool = False) -> Extension:
    """Add the cells that a changed file has and the folder has not; old cells stay as they are, in the file or not.

    The overrides that the sweep was made with hold for the new cells, except of settings that the file now varies;
    `seeds` replaces its own. Another `metric.target` holds from now on. Workers that run see the new cells. Raises
    UserError for a folder that is no sweep's, for a file that changes what its old cells train, or how cells are
    chosen, stopped or compared, and as `sweep run` does.
    """
    folder = SweepFolder(path)
    read_plan(folder)
    with FileLock(folder.path / ".plan-lock"):
        old, frozen = read_plan(folder), _frozen(folder)
        file = replace(read_sweep(find_sweep(sweep)), name=old.name)  # random points are drawn by the name
        number = seeds if seeds is not None else frozen.get("seeds")
        count = number if isinstance(number, int) else None
        given, varied = frozen.get("overrides"), swept_keys(file, count)
        kept = {key: value for key, value in given.items() if key not in varied} if isinstance(given, Mapping) else {}
        overrides = [f"{key}={_typed(value)}" for key, value in kept.items()]
        fresh = _fresh(folder, file, overrides, count, old, _choice(file, frozen))
        before = frozen_sweep(frozen.get("sweep"))
        found = _compare(folder, old, fresh, _other_rules(before, file))
        target = (before.metric.target, file.metric.target)
        if target[0] != target[1]:
            found = replace(found, changed=[f"metric.target: {target[0]} -> {target[1]}"])
        if (found.added or found.changed) and not dry_run:
            if found.changed:
                _set_target(folder, old, target[1])
            swept = sorted({*old.swept, *fresh.swept})
            known = read_configs(folder)
            cells = [replace(known.get(cell.name, cell), values=cell.values, problem=cell.problem, u=cell.u)
                     for cell in old.cells]  # fmt: skip
            grown = replace(old, swept=swept, cells=[*cells, *found.added])
            write_plan(
                folder, grown, {**frozen, "sweep": file.source, "file": file.shown, "overrides": kept, "seeds": count}
            )
            found = replace(found, done=True)
    return found


def _other_rules(before: SweepFile, now: SweepFile) -> list[str]:
    """What the two files say otherwise of how cells are chosen and stopped.

    Their targets may differ, and what metric.impute says to a search, which no sweep that can be extended has.
    """
    rules = [{"method": file.method, "early_terminate": _plain(file.early_terminate)} for file in (before, now)]
    return [f"{key}: {old} -> {rules[1][key]}" for key, old in rules[0].items() if old != rules[1][key]]


def _plain(rule: EarlyTerminate | None) -> str:
    given = asdict(rule).items() if rule else ()
    shown = [(key, f"{value:g}" if isinstance(value, float) else value) for key, value in given if key != "origin"]
    return ", ".join(f"{key} {value}" for key, value in shown if value is not None) or "none"


def _set_target(folder: SweepFolder, plan: Plan, value: float | None) -> None:
    """Let another target hold: the sweep goes on, unless a cell that is there has reached it."""
    freeze_search(folder, replace(read_search(folder), target=value))
    ledger = Ledger(folder.claims, [cell.name for cell in plan.valid()], Holder.here("extend"))
    ledger.open_again()
    if value is not None:
        target = Target(folder, ledger, Histories(folder, plan.metric), goal=plan.goal)
        for cell in ledger.cells:
            target.look(cell, at_once=True)


def _choice(file: SweepFile, frozen: Mapping[str, object]) -> Choice:
    """As the sweep was begun, but a file's run_cap goes before an earlier --count."""
    count, seed = frozen.get("count"), frozen.get("search_seed")
    return Choice(
        count=count if isinstance(count, int) and file.run_cap is None else None,
        seed=seed if isinstance(seed, int) else 0,
    )


def _fresh(
    folder: SweepFolder, file: SweepFile, overrides: Sequence[str], seeds: int | None, old: Plan, choice: Choice
) -> Plan:
    """The file's plan with what the folder decided for its machine: threads and accelerator."""
    different = freeze_foreign(folder, file)
    if different:
        raise UserError(
            f"{folder.path} cannot be extended by this file: its cells are started otherwise (folder -> file)\n"
            + "\n".join(f"  {text}" for text in different)
            + "\n  fix      run the file as a sweep of its own: sweep run FILE --name NAME"
        )
    if not file.ours:
        return replace(foreign_plan(file, old.threads, overrides=overrides, seeds=seeds, choice=choice), name=old.name)
    known = [flatten(cell.config) for cell in read_configs(folder).values()]
    accelerator = known[0]["trainer.accelerator"] if known else "cpu"
    settings = {"trainer.threads": old.threads, "trainer.accelerator": accelerator}
    cells = prepare_cells(build_cells(file, overrides, seeds, choice), settings, check_nothing)
    return Plan(
        name=old.name,
        metric=file.metric.name,
        goal=file.metric.goal,
        swept=swept_keys(file, seeds),
        threads=old.threads,
        cells=cells,
    )


def _compare(folder: SweepFolder, old: Plan, fresh: Plan, wrong: list[str]) -> Extension:
    """What is new in `fresh`: neither a cell's name nor its whole configuration is in the folder.

    Raises UserError with what is `wrong` already and with changes of what old cells train.
    """
    wrong += [f"{word}: {getattr(old, word)} -> {getattr(fresh, word)}" for word in ("metric", "goal")
             if getattr(old, word) != getattr(fresh, word)]  # fmt: skip
    known, frozen = {cell.name for cell in old.cells}, read_configs(folder)
    wrong += changed_settings(frozen, {cell.name: cell for cell in fresh.cells})
    if wrong:
        raise UserError(
            f"{folder.path} cannot be extended by this file: its old cells are others, or were run by other rules "
            "(folder -> file)\n"
            + "\n".join(f"  {text}" for text in wrong[:20])
            + "\n  fix      take these changes back, or run the file as a sweep of its own: sweep run FILE --name NAME"
        )
    by_config = {_identity(cell): name for name, cell in frozen.items()}
    added, kept = [], []
    for cell in fresh.cells:
        same = cell.name if cell.name in known else by_config.get(_identity(cell)) if cell.config else None
        if same is None:
            added.append(cell)
        else:
            kept.append(same)
    gone = [cell.name for cell in old.cells if cell.name not in set(kept)]
    return Extension(folder.path, added, kept, gone)


def _identity(cell: PlannedCell) -> str:
    return json.dumps([dict(cell.config), cell.prepared.get("fingerprint")], sort_keys=True)


def _frozen(folder: SweepFolder) -> dict[str, object]:
    """sweep.yaml: file, overrides, seeds. Raises UserError where it is damaged."""
    try:
        value = yaml.safe_load(folder.sweep_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{folder.sweep_file} cannot be read ({error}); run the file under --name.") from None
    return value if isinstance(value, dict) else {}


def _typed(value: object) -> str:
    """A value as the shell would give it."""
    plain = isinstance(value, str) and shell_value(value, "sweep.yaml") == value
    return value if isinstance(value, str) and plain else json.dumps(value)
