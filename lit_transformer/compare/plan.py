"""The plan of a sweep as `sweep` wrote it, damaged or not."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lit_transformer.compare.plain import clean, flatten
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder

Goal = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class PlannedCell:
    """One point of a sweep, run or not."""

    cell: str
    """Its id, the name of its run folder."""
    values: dict[str, object]
    """Dotted key -> swept value."""
    problem: str | None
    """Why it cannot be built; None where it can."""


@dataclass(frozen=True)
class Plan:
    """The cells of one sweep, and what it is judged by."""

    folder: SweepFolder
    name: str
    metric: str
    goal: Goal
    swept: list[str]
    cells: list[PlannedCell]


def find_plans(root: Path) -> list[SweepFolder]:
    """Every sweep with a plan at or under `root`, sorted by path; links are not followed."""
    if os.path.isfile(SweepFolder(root).plan_file):  # False of a folder that may not be entered
        return [SweepFolder(root)]
    if RunFolder(root).exists():
        return []
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []
    return [plan for folder in folders for plan in find_plans(folder)]


def read_plan(folder: SweepFolder) -> Plan | None:
    """The plan in `folder`; None where it is missing or damaged."""
    try:
        value = json.loads(folder.plan_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("cells"), list):
        return None
    metric = value.get("metric")
    metric = metric if isinstance(metric, dict) else {}
    swept = value.get("swept")
    return Plan(
        folder=folder,
        name=clean(str(value.get("name") or folder.path.name)),
        metric=clean(str(metric.get("name") or "val/loss")),
        goal="maximize" if metric.get("goal") == "maximize" else "minimize",
        swept=[clean(str(key)) for key in swept] if isinstance(swept, list) else [],
        cells=[cell for item in value["cells"] if (cell := _read_cell(item)) is not None],
    )


def _read_cell(item: object) -> PlannedCell | None:
    if not isinstance(item, dict) or not isinstance(item.get("cell"), str):
        return None
    name, problem, values = item["cell"], item.get("problem"), item.get("values")
    if Path(name).name != name or name in ("", ".", ".."):  # a plan is data: its names never lead out of the folder
        return None
    return PlannedCell(
        cell=name,
        values=flatten(values) if isinstance(values, dict) else {},
        problem=None if problem is None else clean(str(problem)),
    )
