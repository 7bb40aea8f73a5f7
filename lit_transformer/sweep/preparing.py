"""The children that a sweep asks before its first trial: what the data decide, and how large the cells are."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain
from lit_transformer.processes.hardware import check_devices
from lit_transformer.processes.launched_settings import check_world
from lit_transformer.records.atomic import write_json
from lit_transformer.sweep.cells import Cell
from lit_transformer.sweep.plan import PlannedCell, with_dotted

PREPARE = "lit_transformer.training.prepare"
"""Run as `python -m ... REQUEST ANSWER`; named as a string, since a sweep imports no training."""
SIZE = "lit_transformer.sweep.size"


def prepare_cells(cells: Sequence[Cell], settings: Mapping[str, object]) -> list[PlannedCell]:
    """Prepare the data of every valid cell, once per data set, and fill in what they decide.

    `settings` (dotted) are decided for this machine. A cell whose data cannot be prepared gets a `problem`. Raises
    UserError where no cell can be run, with every reason.
    """
    cells = _with_device_problems(cells)
    valid = [cell for cell in cells if cell.problem is None]
    decided = {cell.name: with_dotted(cell.config, _undecided(cell, settings)) for cell in valid}
    answers: Mapping[str, object] = {}
    if valid:
        request = [{"cell": cell.name, "config": decided[cell.name]} for cell in valid]
        found = ask(PREPARE, {"cells": request}).get("cells")
        answers = found if isinstance(found, Mapping) else {}
    planned = []
    for cell in cells:
        if cell.problem is not None:
            planned.append(PlannedCell(name=cell.name, values=cell.values, problem=cell.problem))
            continue
        origins = {**cell.origins, **dict.fromkeys(_undecided(cell, settings), "this machine")}
        planned.append(_planned(cell, decided[cell.name], origins, answers.get(cell.name)))
    if not any(cell.problem is None for cell in planned):
        reasons = dict.fromkeys(str(cell.problem) for cell in planned)
        raise UserError("No cell of the sweep can be run.\n" + "\n".join(reasons))
    return planned


def _with_device_problems(cells: Sequence[Cell]) -> list[Cell]:
    """The cells, those that this machine's devices cannot train with the reason as their problem."""
    found: dict[str, str | None] = {}
    for cell in cells:
        key = _trainer(cell)
        if cell.problem is None and key not in found:
            try:
                config = from_plain(cell.config)
                check_world(config, None)
                check_devices(config)
                found[key] = None
            except UserError as error:
                found[key] = str(error)
    return [replace(cell, problem=cell.problem or found.get(_trainer(cell))) for cell in cells]


def _trainer(cell: Cell) -> str:
    return json.dumps(cell.config.get("trainer"), sort_keys=True)


def ask(module: str, request: Mapping[str, object]) -> dict[str, object]:
    """Run a module as a child on a request and return its answer; its standard error is ours. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="lit-transformer-") as name:
        asked, answer = Path(name) / "request.json", Path(name) / "answer.json"
        write_json(asked, request)
        status = subprocess.run([sys.executable, "-m", module, str(asked), str(answer)], check=False).returncode
        if status != 0 or not answer.is_file():
            raise UserError(f"{module} ended with exit status {status}; what it said stands above.")
        value = json.loads(answer.read_text(encoding="utf-8"))
    return dict(value)


def _undecided(cell: Cell, settings: Mapping[str, object]) -> dict[str, object]:
    """Those of the machine's settings that the cell leaves open."""
    open_values = (None, "auto")
    return {key: value for key, value in settings.items() if _get(cell.config, key) in open_values}


def _get(config: Mapping[str, object], key: str) -> object:
    value: object = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _planned(cell: Cell, config: Mapping[str, object], origins: Mapping[str, str], answer: object) -> PlannedCell:
    if not isinstance(answer, Mapping):
        return PlannedCell(name=cell.name, values=cell.values, problem="its data were not prepared")
    if answer["problem"]:
        return PlannedCell(name=cell.name, values=cell.values, problem=str(answer["problem"]))
    derived, solved = dict(answer["derived"]), dict(answer["solved"])
    return PlannedCell(
        name=cell.name,
        values=cell.values,
        config=with_dotted(config, derived),
        origins={**origins, **dict.fromkeys(derived, "prepare"), **dict.fromkeys(solved, "budget")},
        prepared=dict(answer["prepared"]),
        solved=solved,
    )
