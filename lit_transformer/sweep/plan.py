"""The plan of a sweep, frozen in its folder: what every cell trains, whatever happens to the files it came from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten
from lit_transformer.records.atomic import write_json, write_text
from lit_transformer.records.sweep_folder import SweepFolder

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """One cell of a plan."""

    name: str
    values: Mapping[str, object]
    problem: str | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    """Whole, with derived values and threads, nested; empty where there is a problem."""
    origins: Mapping[str, str] = field(default_factory=dict)
    prepared: Mapping[str, object] = field(default_factory=dict)
    u: Sequence[float] = ()
    """The point of a bayes sweep that the cell belongs to."""
    solved: Mapping[str, object] = field(default_factory=dict)
    """What of the configuration was solved for a budget, dotted; of a fresh plan alone."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep, whole."""

    name: str
    metric: str
    goal: str
    swept: Sequence[str]
    threads: int
    cells: Sequence[PlannedCell]

    def valid(self) -> list[PlannedCell]:
        """The cells that can be run, in order."""
        return [cell for cell in self.cells if cell.problem is None]


def configs_file(folder: SweepFolder) -> Path:
    """One line a cell: its whole configuration, the origins, the prepared data."""
    return folder.path / "configs.jsonl"


def write_plan(folder: SweepFolder, plan: Plan, frozen: Mapping[str, object]) -> None:
    """Freeze a plan; sweep.yaml, with `frozen` (file, overrides, seeds), comes last: it makes the folder a sweep's."""
    write_cells(folder, plan)
    text = yaml.safe_dump({**frozen, "threads": plan.threads}, sort_keys=False, allow_unicode=True)
    write_text(folder.sweep_file, text)


def write_cells(folder: SweepFolder, plan: Plan) -> None:
    """Write the configurations, then the plan that names them: whoever sees a cell finds its configuration."""
    write_configs(folder, plan)
    cells = [
        {
            "cell": cell.name,
            "values": dict(cell.values),
            "problem": cell.problem,
            **({"u": list(cell.u)} if cell.u else {}),
        }
        for cell in plan.cells
    ]
    metric = {"name": plan.metric, "goal": plan.goal}
    content = {"version": VERSION, "name": plan.name, "metric": metric, "swept": list(plan.swept),
               "threads": plan.threads, "cells": cells}  # fmt: skip
    write_json(folder.plan_file, content)


def write_configs(folder: SweepFolder, plan: Plan) -> None:
    """Write the configurations alone."""
    rows = (
        {"cell": cell.name, "config": cell.config, "origins": cell.origins, "prepared": cell.prepared}
        for cell in plan.valid()
    )
    write_text(configs_file(folder), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_plan(folder: SweepFolder) -> Plan:
    """The frozen plan without configurations; raises UserError for a folder that is no sweep's, or damaged."""
    if not folder.exists():
        raise UserError(
            f"{folder.path} is no sweep's folder: it has no sweep.yaml.\n  fix      give a folder under runs/sweeps"
        )
    try:
        content = json.loads(folder.plan_file.read_text(encoding="utf-8"))
        version = content["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder.plan_file} cannot be read ({error}); start the sweep anew under --name.") from None
    if version != VERSION:
        raise UserError(
            f"{folder.plan_file} has version {version}; this is version {VERSION}. Start the sweep anew under --name."
        )
    cells = [
        PlannedCell(name=item["cell"], values=item["values"], problem=item["problem"], u=tuple(item.get("u", ())))
        for item in content["cells"]
    ]
    metric = content["metric"]
    return Plan(
        name=content["name"], metric=metric["name"], goal=metric["goal"], swept=content["swept"],
        threads=content["threads"], cells=cells,
    )  # fmt: skip


def read_configs(folder: SweepFolder) -> dict[str, PlannedCell]:
    """Cell -> its frozen configuration, from one pass over the file; raises OSError."""
    found = {}
    with configs_file(folder).open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            name = row["cell"]
            found[name] = PlannedCell(
                name=name, values={}, config=row["config"], origins=row["origins"], prepared=row["prepared"]
            )
    return found


def differences(folder: SweepFolder, fresh: Plan, *, grows: bool = False) -> list[str]:
    """What the frozen sweep and `fresh` disagree about, one line each; empty where the sweep can go on.

    One that `grows` may have more cells than `fresh`, which has its first ones.
    """
    old = read_plan(folder)
    lines = []
    for word in ("metric", "goal"):
        if getattr(old, word) != getattr(fresh, word):
            lines.append(f"{word}: {getattr(old, word)} -> {getattr(fresh, word)}")
    frozen, new = {cell.name: cell for cell in old.cells}, {cell.name: cell for cell in fresh.cells}
    lines += _named("cells only in the sweep's folder", [name for name in frozen if name not in new and not grows])
    lines += _named("cells only in the file now", [name for name in new if name not in frozen])
    for name in frozen.keys() & new.keys():
        if (frozen[name].problem is None) != (new[name].problem is None):
            lines.append(f"{name}: {frozen[name].problem or 'can be built'} -> {new[name].problem or 'can be built'}")
    return lines + changed_settings(read_configs(folder), new)


def changed_settings(frozen: Mapping[str, PlannedCell], new: Mapping[str, PlannedCell]) -> list[str]:
    """What cells of the same name disagree about, one line for each setting and its two values."""
    changed: dict[str, int] = {}
    for name, cell in frozen.items():
        if name not in new or new[name].problem is not None:
            continue
        before, after = flatten(cell.config), flatten(new[name].config)
        before["data (fingerprint)"] = cell.prepared.get("fingerprint")
        after["data (fingerprint)"] = new[name].prepared.get("fingerprint")
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                line = f"{key}: {before.get(key)} -> {after.get(key)}"
                changed[line] = changed.get(line, 0) + 1
    return [f"{line} in {count} cell{'s' if count > 1 else ''}" for line, count in changed.items()]


def _named(what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return [f"{what}: {' '.join(names[:5])}{more}"] if names else []


def with_dotted(config: Mapping[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Nested plain values with dotted ones put in; the argument is left as it is."""
    result = dict(config)
    for key, value in values.items():
        head, _, rest = key.partition(".")
        inner = result.get(head)
        result[head] = with_dotted(inner if isinstance(inner, Mapping) else {}, {rest: value}) if rest else value
    return result
