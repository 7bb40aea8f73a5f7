"""What a run logged, from W&B's offline file, by W&B's own reader."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lit_transformer.records.atomic import write_text
from lit_transformer.records.run_folder import RunFolder


@dataclass
class Logged:
    """A run as its file has it."""

    rows: list[dict[str, float | None]] = field(default_factory=list)
    """One for each logged step, ascending, `step` first; numbers alone, and null for one that is not finite."""
    summary: dict[str, float] = field(default_factory=dict)
    """The run's finite numbers at its end."""


def read_wandb_file(folder: Path, run_id: str) -> Logged:
    """The offline run `run_id` under `folder`/wandb, the newest of several; empty where there is none to be read."""
    file, logged = offline_file(folder, run_id), Logged()
    for record in _records(file) if file else ():
        if record.get("type") == "history":
            row = _row(record["history"].get("item", {}))
            if len(row) > 1:
                logged.rows.append(row)
        elif record.get("type") == "summary":
            logged.summary |= _finite(record["summary"].get("update", {}))
    for row in logged.rows:  # a run that was killed has no summary
        logged.summary |= {} if logged.summary else _finite(row)
    logged.summary.pop("step", None)
    return logged


def offline_file(folder: Path, run_id: str) -> Path | None:
    """The newest file of an offline run under `folder`/wandb; each attempt at a run makes one anew."""
    found = sorted(folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb"))
    return found[-1] if found else None


def offline_size(folder: Path, run_id: str) -> int:
    """Bytes of the run's file; 0 where there is none yet."""
    file = offline_file(folder, run_id)
    try:
        return file.stat().st_size if file else 0
    except OSError:
        return 0


def write_rows(run: RunFolder, logged: Logged) -> None:
    """Write the run's metrics.jsonl, whole; raises OSError."""
    write_text(run.metrics_file, "".join(json.dumps(row) + "\n" for row in logged.rows))


def _records(file: Path) -> Iterator[dict[str, Any]]:
    offline = {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}  # else it opens a connection
    done = subprocess.run(_inspect(file), env=offline, capture_output=True, text=True, errors="replace", check=False)
    for line in done.stdout.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record


def _inspect(file: Path) -> list[str]:
    """`wandb leet inspect --json`, where it can be by the program behind it: that costs no Python with wandb in it."""
    found = find_spec("wandb")
    core = Path(found.origin or "").parent / "bin" / "wandb-core" if found else Path()
    if core.is_file():
        where = ["--run-file", str(file.resolve()), str(file.resolve().parent.parent)]
        return [str(core), "leet", "inspect", "--no-observability", "--json", *where]
    return [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]


def _row(item: Mapping[str, object]) -> dict[str, float | None]:
    row: dict[str, float | None] = {"step": _number(item.get("_step")) or 0}
    for key, value in item.items():
        if key.startswith("_"):
            continue
        if value in ("NaN", "Infinity", "-Infinity"):
            row[key] = None
        elif (number := _number(value)) is not None:
            row[key] = number
    return row


def _finite(values: Mapping[str, object]) -> dict[str, float]:
    numbers = {key: _number(value) for key, value in values.items() if not key.startswith("_")}
    return {key: number for key, number in numbers.items() if number is not None}


def _number(value: object) -> float | None:
    """A finite number; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value
