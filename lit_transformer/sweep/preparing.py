"""The children that a sweep asks before its first trial: what the data decide, and how large the cells are."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten
from lit_transformer.config.load import from_plain
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.processes.hardware import check_devices
from lit_transformer.processes.launched_settings import check_world
from lit_transformer.records.atomic import write_json
from lit_transformer.sweep.cells import Cell
from lit_transformer.sweep.plan import PlannedCell, with_dotted

PREPARE = "lit_transformer.training.prepare"
"""Run as `python -m ... REQUEST ANSWER`; named as a string, since a sweep imports no training."""
SIZE = "lit_transformer.sweep.size"
ASKED = "lit_transformer.processes.asked"
STOP_SECONDS = 0.2
"""Between looks whether to stop."""


class Stopped(Exception):
    """It was asked to stop while a child worked for it."""


def never() -> bool:
    """Nobody asks to stop."""
    return False


def check_nothing(config: ExperimentConfig) -> None:
    """For the cells of a sweep that others run too: whoever runs them sees what its machine can train."""


def check_here(config: ExperimentConfig) -> None:
    """Raises UserError where this machine cannot train `config`."""
    check_world(config, None)
    check_devices(config)


def prepare_cells(
    cells: Sequence[Cell],
    settings: Mapping[str, object],
    check: Callable[[ExperimentConfig], None] = check_here,
    *,
    need: bool = True,
    stop: Callable[[], bool] = never,
) -> list[PlannedCell]:
    """Prepare the data of every valid cell, once per data set, and fill in what they decide.

    `settings` (dotted) are decided for the machine that trains, and `check` raises UserError for what it cannot train.
    A cell whose data cannot be prepared gets a `problem`. Raises UserError where no cell can be run, with every reason,
    if one is needed, and Stopped when `stop` comes true meanwhile.
    """
    cells = _with_device_problems(cells, check)
    valid = [cell for cell in cells if cell.problem is None]
    decided = {cell.name: with_dotted(cell.config, _undecided(cell, settings)) for cell in valid}
    answers: Mapping[str, object] = {}
    if valid:
        request = [{"cell": cell.name, "config": decided[cell.name]} for cell in valid]
        found = ask(PREPARE, {"cells": request}, stop).get("cells")
        answers = found if isinstance(found, Mapping) else {}
    planned = []
    for cell in cells:
        if cell.problem is not None:
            planned.append(PlannedCell(name=cell.name, values=cell.values, problem=cell.problem, u=cell.u))
            continue
        origins = {**cell.origins, **dict.fromkeys(_undecided(cell, settings), "this machine")}
        planned.append(_planned(cell, decided[cell.name], origins, answers.get(cell.name)))
    if need and not any(cell.problem is None for cell in planned):
        reasons = dict.fromkeys(str(cell.problem) for cell in planned)
        raise UserError("No cell of the sweep can be run.\n" + "\n".join(reasons))
    return planned


def _with_device_problems(cells: Sequence[Cell], check: Callable[[ExperimentConfig], None]) -> list[Cell]:
    """The cells, those that the devices cannot train with the reason as their problem."""
    found: dict[str, str | None] = {}
    for cell in cells:
        key = _trainer(cell)
        if cell.problem is None and key not in found:
            try:
                check(from_plain(cell.config))
                found[key] = None
            except UserError as error:
                found[key] = str(error)
    return [replace(cell, problem=cell.problem or found.get(_trainer(cell))) for cell in cells]


def _trainer(cell: Cell) -> str:
    return json.dumps(cell.config.get("trainer"), sort_keys=True)


def ask(module: str, request: Mapping[str, object], stop: Callable[[], bool] = never) -> dict[str, object]:
    """Run a module as a child on a request and return its answer; its standard error is ours.

    The child ends with this process, and at once when `stop` comes true, which raises Stopped. Raises UserError.
    """
    with tempfile.TemporaryDirectory(prefix="lit-transformer-") as name:
        asked, answer = Path(name) / "request.json", Path(name) / "answer.json"
        write_json(asked, request)
        status = _run([sys.executable, "-m", ASKED, module, str(asked), str(answer)], stop)
        if status != 0 or not answer.is_file():
            raise UserError(f"{module} ended with exit status {status}; what it said stands above.")
        value = json.loads(answer.read_text(encoding="utf-8"))
    return dict(value)


def _run(command: Sequence[str], stop: Callable[[], bool]) -> int:
    """The exit status of a command whose standard input says, by its end, that this process is gone."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0) as child:  # Ctrl-C is for us, who end it
        try:
            while not stop():
                with suppress(subprocess.TimeoutExpired):
                    return child.wait(STOP_SECONDS)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
    raise Stopped


def _undecided(cell: Cell, settings: Mapping[str, object]) -> dict[str, object]:
    """Those of the machine's settings that the cell leaves open."""
    open_values = (None, "auto")
    given = flatten(cell.config)
    return {key: value for key, value in settings.items() if given.get(key) in open_values}


def _planned(cell: Cell, config: Mapping[str, object], origins: Mapping[str, str], answer: object) -> PlannedCell:
    if not isinstance(answer, Mapping):
        return PlannedCell(name=cell.name, values=cell.values, problem="its data were not prepared", u=cell.u)
    if answer["problem"]:
        return PlannedCell(name=cell.name, values=cell.values, problem=str(answer["problem"]), u=cell.u)
    derived, solved = dict(answer["derived"]), dict(answer["solved"])
    return PlannedCell(
        name=cell.name,
        values=cell.values,
        config=with_dotted(config, derived),
        origins={**origins, **dict.fromkeys(derived, "prepare"), **dict.fromkeys(solved, "budget")},
        prepared=dict(answer["prepared"]),
        u=cell.u,
        solved=solved,
    )
