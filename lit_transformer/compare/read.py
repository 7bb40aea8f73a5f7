"""Runs on disk as one table: complete, running, damaged, and those that a sweep planned but never made."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from lit_transformer.compare.plain import clean, flatten, label, number, whole
from lit_transformer.compare.plan import Plan, PlannedCell, find_plans, read_plan
from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.records.locks import is_locked
from lit_transformer.records.run_folder import RESULT_VERSION, STATUSES, RunFolder, find_runs

COUNTS = ("best_step", "parameters", "tokens", "steps", "peak_memory_bytes")
MEASURES = ("flops_per_token", "flops", "tokens_per_second", "seconds")
FIELDS = (
    "best_step", "parameters", "flops_per_token", "flops", "tokens",
    "tokens_per_second", "seconds", "peak_memory_bytes", "steps",
)  # fmt: skip


LogRows = list[dict[str, float | None]]
"""Rows of metrics.jsonl or system.jsonl."""


@dataclass
class Row:
    """One run, or one planned cell that has none."""

    run: str
    status: str
    config: dict[str, object] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    fields: dict[str, object] = field(default_factory=dict)
    problem: str | None = None
    error: str | None = None


Reader = Callable[[Path, RunFolder], Row]


def read_runs(directory: str | Path) -> pd.DataFrame:
    """One row for each run at or under `directory`, and for each cell of a sweep there that has no run.

    Columns: `run` (path relative to `directory`), `status` (that of the run, or `damaged`, `missing`, `impossible`),
    every setting by its dotted key, every metric by its name (of the best validation; of a run without a result the
    newest), `best_step parameters flops_per_token flops tokens tokens_per_second seconds peak_memory_bytes steps`,
    `problem` (why a cell is impossible) and `error` (of a failed or damaged run).
    Raises UserError where the folder is missing or unreadable, or holds no run.
    """
    root = existing_folder(directory)
    return to_frame(read_rows(root, [plan for folder in find_plans(root) if (plan := read_plan(folder))]))


def existing_folder(directory: str | Path) -> Path:
    """`directory` as a path that can be listed; UserError naming the nearest that exists where it cannot."""
    root = Path(directory).expanduser()
    try:
        if root.is_dir():
            next(root.iterdir(), None)
            return root
    except OSError as error:
        raise UserError(
            f"{root}: cannot be read ({error.strerror}); give a folder of runs that you may read"
        ) from error
    if root.exists():
        raise UserError(f"{root}: is a file; give a run's folder, a sweep's folder, or one above them, such as runs")
    near = did_you_mean(root.name, _folders(root.parent)) if root.parent.is_dir() else ""
    fix = f"did you mean {root.parent / near}?" if near else "give a run's folder, a sweep's folder, or one above them"
    raise UserError(f"{root}: no such folder; {fix}")


def _folders(parent: Path) -> list[str]:
    try:
        return [path.name for path in parent.iterdir() if path.is_dir()]
    except OSError:
        return []


def read_rows(root: Path, plans: list[Plan]) -> list[Row]:
    """Rows of the plans' cells in their order, then of every other run; UserError where there is none."""
    rows = gather(root, plans, find_runs(root))
    if not rows:
        raise UserError(
            f"{root}: no run here or below (a run's folder has a config.yaml); "
            "make one with `lit-transformer fit EXPERIMENT` or `lit-transformer sweep run FILE`"
        )
    return rows


def gather(root: Path, plans: list[Plan], runs: list[RunFolder], read: Reader | None = None) -> list[Row]:
    """Rows of the plans' cells in their order, then of every other run of `runs`; `read` gives the row of a run."""
    read = read or read_run
    rows = [_cell_row(root, plan, cell, read) for plan in plans for cell in plan.cells]
    seen = {plan.folder.cell(cell.cell).path for plan in plans for cell in plan.cells}
    return rows + [read(root, run) for run in runs if run.path not in seen]


def _cell_row(root: Path, plan: Plan, cell: PlannedCell, read: Reader) -> Row:
    run = plan.folder.cell(cell.cell)
    try:
        begun = run.exists() or run.result_file.is_file() or is_locked(run.path / ".lock")
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        return Row(run=_name(root, run), status="damaged", config=dict(cell.values), error=reason)
    if begun and not run.path.is_symlink():
        row = read(root, run)
        # the plan wins: a swept null stays null where the frozen config holds what it became
        return replace(row, config=row.config | cell.values)
    status = "missing" if cell.problem is None else "impossible"
    return Row(run=_name(root, run), status=status, config=dict(cell.values), problem=cell.problem)


def _name(root: Path, run: RunFolder) -> str:
    return clean(run.path.relative_to(root).as_posix())


def read_run(root: Path, run: RunFolder) -> Row:
    """The row of one run folder, with whatever of it can be read."""
    return row_of(root, run, run.read_config(), run.read_result(), run.read_metrics, run.read_system)


def row_of(
    root: Path,
    run: RunFolder,
    config: dict[str, object],
    result: dict[str, object],
    metrics: Callable[[], LogRows],
    system: Callable[[], LogRows],
) -> Row:
    """The row of a run from what its files hold; the two logs are asked for only where the result does not say."""
    status, damage = _status(run, config, result)
    reported = result.get("metrics")
    row = Row(run=_name(root, run), status=status, config=flatten(config))
    row.metrics = _numbers(reported) if isinstance(reported, dict) else newest(metrics())
    row.fields = {name: result.get(name) for name in FIELDS} if result else progress(system())
    error = result.get("error")
    row.error = "; ".join([clean(str(text)) for text in (damage, error) if text]) or None
    return row


def _status(run: RunFolder, config: dict[str, object], result: dict[str, object]) -> tuple[str, str | None]:
    """The run's status, and what is damaged about it."""
    if not config:
        reason = "config.yaml is damaged" if run.exists() else "config.yaml is missing"
        return run.status() if result else "damaged", reason
    if run.result_file.exists() and not result:
        return "damaged", "result.json is damaged"
    if not result:
        return run.status(), None
    version, status = result.get("version"), result.get("status")
    newer = (
        None if version == RESULT_VERSION else f"result.json has version {label(version)}, known is {RESULT_VERSION}"
    )
    if status not in STATUSES:
        return "damaged", newer or f"result.json has the unknown status {label(status)}"
    return str(status), newer


def newest(rows: LogRows) -> dict[str, float]:
    """The last measured value of each metric in rows of metrics.jsonl."""
    values: dict[str, float] = {}
    for row in rows:
        values |= {clean(name): number(value) for name, value in row.items() if name != "step" and value is not None}
    return values


def _numbers(metrics: dict[str, object]) -> dict[str, float]:
    return {clean(str(name)): number(value) for name, value in metrics.items()}


def progress(rows: LogRows) -> dict[str, object]:
    """Fields of a run without a result, from the rows of its system.jsonl."""
    last: dict[str, object] = dict(rows[-1]) if rows else {}
    memory = [whole(row.get("memory_bytes")) or 0 for row in rows]
    return {
        "steps": last.get("step"),
        "seconds": last.get("seconds"),
        "tokens_per_second": last.get("tokens_per_second"),
        "peak_memory_bytes": max(memory, default=0) or None,
    }


def to_frame(rows: list[Row]) -> pd.DataFrame:
    """Rows as a table; a setting or metric that bears the name of an own column gives way to it."""
    own = {"run", "status", "problem", "error", *FIELDS}
    keys = dict.fromkeys(key for row in rows for key in row.config if key not in own)
    metrics = sorted({name for row in rows for name in row.metrics if name not in own and name not in keys})
    columns: dict[str, pd.Series] = {
        "run": pd.Series([row.run for row in rows], dtype=object),
        "status": pd.Series([row.status for row in rows], dtype=object),
    }
    for key in keys:
        columns[key] = pd.Series([row.config.get(key) for row in rows], dtype=object).infer_objects()
    for name in metrics:
        columns[name] = pd.Series([row.metrics.get(name) for row in rows], dtype="float64")
    for name in FIELDS:
        values = [row.fields.get(name) for row in rows]
        columns[name] = (
            pd.Series([whole(value) for value in values], dtype="Int64")
            if name in COUNTS
            else pd.Series([number(value) for value in values], dtype="float64")
        )
    columns["problem"] = pd.Series([row.problem for row in rows], dtype=object)
    columns["error"] = pd.Series([row.error for row in rows], dtype=object)
    return pd.DataFrame(columns)
