"""Sweeps whose command is not ours: each cell is a process under the contract of W&B's agent, offline."""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from lit_transformer.config.errors import UserError
from lit_transformer.processes.hardware import cuda_devices
from lit_transformer.records.atomic import write_json, write_text
from lit_transformer.records.requests import Request, forget_request
from lit_transformer.records.run_folder import RESULT_VERSION, RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.cells import Cell
from lit_transformer.sweep.choice import Choice, choose
from lit_transformer.sweep.command import DEFAULT, expand, parameter_file, run_config
from lit_transformer.sweep.file import SweepFile
from lit_transformer.sweep.outcome import clear
from lit_transformer.sweep.plan import Plan, PlannedCell
from lit_transformer.sweep.program import Program
from lit_transformer.sweep.slots import Slots
from lit_transformer.sweep.wandb_file import read_wandb_file, write_rows

FLUSH = "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL"
"""Seconds between what W&B writes of a run to its file; its own 15 are long for seeing how a run gets on."""
FILE = "program.json"
"""In a sweep's folder; only a sweep with a command of its own has it."""


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """What starts the cells of such a sweep."""

    command: Sequence[str]
    program: str | None
    sweep_id: str
    """WANDB_SWEEP_ID of every run."""
    project: str | None
    entity: str | None
    folder: str
    """Where the command is run, as W&B's agent would be: the folder in which the sweep was started."""

    @classmethod
    def of(cls, file: SweepFile) -> Self:
        """That of a sweep file, with an id of its own."""
        return cls(
            command=file.command or DEFAULT,
            program=file.program,
            sweep_id=secrets.token_hex(4),
            project=file.project,
            entity=file.entity,
            folder=str(Path.cwd()),
        )

    def make_ready(self, run: RunFolder, cell: PlannedCell) -> bool:
        """Empty the cell's folder and freeze its configuration; False where an earlier attempt still lives.

        Nobody can say whether a program goes on where it was, so that every attempt starts anew.
        """
        if not clear(run):
            return False
        run.freeze(dict(cell.config), dict(cell.origins), dict(cell.prepared))
        return True

    def start(self, run: RunFolder, cell: PlannedCell, gpus: Sequence[str] = ()) -> Program:
        """Start the cell's command in its frozen folder; its output goes to the run's log."""
        run_id = self.run_id(cell.name)
        root = run.path.resolve()
        folder = root / "wandb" / f"sweep-{self.sweep_id}"
        parameters, json_file = folder / f"config-{run_id}.yaml", folder / f"config-{run_id}.json"
        write_text(parameters, parameter_file(cell.config))
        write_text(json_file, json.dumps(cell.config))
        write_text(root / "wandb-id.txt", run_id)  # what `sweep push` looks for
        variables = {
            "WANDB_SWEEP_ID": self.sweep_id,
            "WANDB_RUN_ID": run_id,
            "WANDB_SWEEP_PARAM_PATH": str(parameters),
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(root),
            "WANDB_ERROR_REPORTING": os.environ.get("WANDB_ERROR_REPORTING", "false"),  # else it opens a connection
            FLUSH: os.environ.get(FLUSH, "1"),
            **({"WANDB_PROJECT": self.project} if self.project else {}),
            **({"WANDB_ENTITY": self.entity} if self.entity else {}),
            **({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}),
        }
        environment = {**os.environ, **variables}
        environment.pop("WANDB_SERVICE", None)  # a W&B process of whoever started us
        words = expand(self.command, cell.config, program=self.program, json_file=json_file, environment=environment)
        return Program(words, run=run, folder=Path(self.folder), environment=environment)

    def record(
        self, run: RunFolder, cell: PlannedCell, status: int, seconds: float, pruned: Request | None = None
    ) -> None:
        """Write what W&B's offline file says of an ended run: its rows, and its result where it ended well or `pruned`.

        A program that was asked to end early is pruned however it ends.
        """
        found = read_wandb_file(run.path, self.run_id(cell.name))
        write_rows(run, found)
        if status != 0 and pruned is None:
            return
        steps = found.rows[-1]["step"] if found.rows else 0
        result: dict[str, object] = {
            "version": RESULT_VERSION, "status": "complete", "metrics": found.summary, "last_metrics": found.summary,
            "steps": steps, "seconds": round(seconds, 3),
        }  # fmt: skip
        if pruned is not None:
            result |= {"status": "pruned", "error": pruned.why, "stop": dict(pruned.details)}
        write_json(run.result_file, result)
        forget_request(run, "prune")

    def run_id(self, cell: str) -> str:
        """WANDB_RUN_ID of a cell, the same for every attempt at it."""
        return hashlib.sha256(f"{self.sweep_id}/{cell}".encode()).hexdigest()[:8]


def read_foreign(folder: SweepFolder) -> Foreign | None:
    """What starts the cells of a sweep's folder; None where they are trials of ours. Raises UserError if damaged."""
    path = folder.path / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Foreign(**content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); start the sweep anew under --name.") from None


def freeze_foreign(folder: SweepFolder, file: SweepFile) -> list[str]:
    """Write how the cells are started, before the plan makes the folder a sweep's; where it is one, the differences."""
    fresh = None if file.ours else Foreign.of(file)
    if not folder.exists():
        if fresh is None:
            (folder.path / FILE).unlink(missing_ok=True)  # of a sweep that was not begun
        else:
            write_json(folder.path / FILE, asdict(fresh))
        return []
    known = read_foreign(folder)
    if known is None or fresh is None:
        words = ["lit-transformer trial" if item is None else _shown(item.command) for item in (known, fresh)]
        return [] if known is fresh else [f"command: {' -> '.join(words)}"]
    pairs = ((word, getattr(known, word), getattr(fresh, word)) for word in ("command", "program", "project", "entity"))
    return [f"{word}: {_shown(old)} -> {_shown(new)}" for word, old, new in pairs if _shown(old) != _shown(new)]


def foreign_plan(
    file: SweepFile,
    threads: int,
    *,
    overrides: Sequence[str],
    seeds: int | None,
    choice: Choice | None,
    first: Sequence[Cell] = (),
) -> Plan:
    """The plan of such a sweep, a bayes one's of its `first` cells; raises UserError for what has no meaning there."""
    check_foreign(file, overrides, seeds)
    origins = {item.key: item.origin for item in file.parameters}
    points = [] if first else choose(file, None, choice)
    cells = [planned(cell) for cell in first] + [
        PlannedCell(
            name=point.name,
            values=point.values,
            config=run_config(file.parameters, point.values),
            origins=origins,
        )
        for point in points
    ]
    swept = [item.key for item in file.parameters if item.swept]
    return Plan(
        name=file.name, metric=file.metric.name, goal=file.metric.goal, swept=swept, threads=threads, cells=cells
    )


def planned(cell: Cell) -> PlannedCell:
    """A program's cell as it is planned: nothing of it is prepared."""
    return PlannedCell(name=cell.name, values=cell.values, config=cell.config, origins=cell.origins, u=cell.u)


def foreign_slots(workers: int | None, per_device: int | None = None) -> Slots:
    """One program at a time unless `workers` says more, each with its share of the GPUs; raises UserError."""
    if per_device is not None:
        raise UserError(
            f"--per-device {per_device}\n  got      trials on each GPU, but the sweep's command is not ours\n"
            "  fix      --workers N runs N programs at once; where there are fewer GPUs they share them"
        )
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: a sweep needs at least one worker.")
    count, gpus = workers or 1, cuda_devices()
    share = max(1, len(gpus) // count)
    slices = [gpus[index * share % len(gpus) :][:share] for index in range(count)] if gpus else []
    kind = "cuda" if gpus else "cpu"
    return Slots(workers=count, devices=share if gpus else 1, threads=1, accelerator=kind, gpus=slices)


def check_foreign(file: SweepFile, overrides: Sequence[str], seeds: int | None) -> None:
    """Raises UserError for what `sweep run` can say of our own experiments alone."""
    given = f"{file.shown} names a command of its own"
    if overrides:
        raise UserError(
            f"{overrides[0]}\n  got      a setting of ours, but {given}\n  fix      put it under the file's parameters"
        )
    if seeds is not None:
        raise UserError(
            f"--seeds {seeds}\n  got      replicates, but {given}\n"
            f"  fix      write seed: {{values: {[*range(seeds)]}}} under its parameters, if it has a seed"
        )


def _shown(value: object) -> str:
    return " ".join(value) if isinstance(value, list | tuple) else str(value)
