"""A run's folder: the names in it, and readers that take a run as it is found, half-written or damaged."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml

from lit_transformer.records.atomic import read_json, write_json, write_text
from lit_transformer.records.locks import FileLock, is_locked

Status = Literal["running", "complete", "failed", "diverged", "pruned", "stopped"]
STATUSES: tuple[Status, ...] = get_args(Status)
RESULT_VERSION = 1
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where PyYAML has it: a report over a thousand runs reads as many configs."""


@dataclass(frozen=True)
class RunFolder:
    """One training on disk; see DESIGN.md's run folder."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def origin_file(self) -> Path:
        return self.path / "config.origin.json"

    @property
    def prepared_file(self) -> Path:
        """Where the prepared data lie, and their fingerprint."""
        return self.path / "prepared.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def system_file(self) -> Path:
        return self.path / "system.jsonl"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def request_file(self) -> Path:
        """What the run is asked while it is trained: to stop, to make room, to be pruned."""
        return self.path / "request.json"

    @property
    def log_file(self) -> Path:
        """Standard error of a sweep's trial."""
        return self.path / "log.txt"

    @property
    def tracking_error_file(self) -> Path:
        """Why W&B shows another run than the one that is trained, which must then fail; missing where it does not."""
        return self.path / "wandb-error.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints and their manifest."""
        return self.path / "checkpoints"

    @property
    def ranks(self) -> Path:
        """How far each rank is, while the run is trained."""
        return self.path / "ranks"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def tokenizer_file(self) -> Path:
        return self.path / "tokenizer.json"

    @property
    def lock(self) -> FileLock:
        """The lock that the trial holds while it lives."""
        return FileLock(self.path / ".lock")

    def freeze(self, config: dict[str, object], origins: dict[str, str], prepared: dict[str, object]) -> None:
        """Write what the run will train, before any rank starts; config.yaml last: it makes the folder a run."""
        write_json(self.prepared_file, prepared)
        write_json(self.origin_file, origins)
        write_text(self.config_file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    def rewind(self, metrics_bytes: int, system_bytes: int) -> None:
        """Cut the logs to what they held when a checkpoint was saved, and forget the end of an earlier attempt."""
        self.result_file.unlink(missing_ok=True)
        for path, size in ((self.metrics_file, metrics_bytes), (self.system_file, system_bytes)):
            if self.size_of(path) > size:
                os.truncate(path, size)

    def fail_where_shown_otherwise(self) -> bool:
        """Turn the result of a run that W&B shows otherwise into a failure; whether it is one. Raises OSError.

        For whoever waited for W&B after a run that had ended sooner; a longer one sees it itself.
        """
        result = self.read_result()
        if result.get("status") not in ("complete", "pruned") or not self.tracking_error_file.exists():
            return False
        said = self.tracking_error_file.read_text(encoding="utf-8")
        write_json(self.result_file, {**result, "status": "failed", "error": said})
        return True

    def size_of(self, path: Path) -> int:
        """Bytes of one of the run's files; 0 where it is missing."""
        try:
            return path.stat().st_size
        except OSError:
            return 0

    def exists(self) -> bool:
        """Whether this is a run's folder, as far as it may be looked into."""
        try:
            return self.config_file.is_file()
        except OSError:
            return False

    def read_config(self) -> dict[str, object]:
        """The frozen config as plain nested dicts; empty where it is missing or damaged."""
        try:
            value = yaml.load(self.config_file.read_text(encoding="utf-8"), Loader=YAML_LOADER)
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            return {}
        return value if isinstance(value, dict) else {}

    def read_result(self) -> dict[str, object]:
        """The result; empty where the run has not ended, or the file is damaged."""
        return read_json(self.result_file)

    def read_origins(self) -> dict[str, str]:
        """Dotted key -> where its value came from."""
        return {key: str(value) for key, value in read_json(self.origin_file).items()}

    def read_metrics(self) -> list[dict[str, float | None]]:
        """Rows of metrics.jsonl in order; lines cut by a kill or damaged are left out."""
        return read_rows(self.metrics_file)

    def read_system(self) -> list[dict[str, float | None]]:
        """Rows of system.jsonl in order: step of total_steps, epoch, tokens, seconds from the start, speeds, memory."""
        return read_rows(self.system_file)

    def status(self) -> Status:
        """The state in result.json; without one `running` while the trial lives, else `stopped`."""
        value = self.read_result().get("status")
        for status in STATUSES:
            if status == value:
                return status
        return "running" if is_locked(self.path / ".lock") else "stopped"


def read_rows(path: Path) -> list[dict[str, float | None]]:
    """The JSON objects of a .jsonl file, one a line; damaged lines are left out."""
    rows = []
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def find_runs(root: Path) -> list[RunFolder]:
    """Every run at or under `root`, sorted by path; links are not followed, and a run's own folder is not searched."""
    if RunFolder(root).exists():
        return [RunFolder(root)]
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:  # not ours to read, or gone since its parent was listed
        return []
    return [run for folder in folders for run in find_runs(folder)]
