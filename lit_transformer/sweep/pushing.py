"""`sweep push`: the offline W&B runs of a sweep's cells go to W&B's server, each once."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.hashed import hash_file
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep import wandb_file
from lit_transformer.sweep.plan import read_plan

MARK = "wandb-pushed.json"
"""In a run's folder: the SHA-256 of the offline run's file that was uploaded."""
SYNC = (sys.executable, "-m", "wandb", "sync", "--include-synced")
"""Our own mark decides: W&B's knows the file's name alone, and a cell that went on has other content."""
ERROR = re.compile(r"^(wandb:\s*)?error\b", re.IGNORECASE | re.MULTILINE)
"""A line of `wandb sync` that tells of one; paths and names may hold the word."""


@dataclass
class Pushed:
    """What became of each cell."""

    pushed: list[str] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)
    """Uploaded by an earlier push, and unchanged since."""
    running: list[str] = field(default_factory=list)
    """Still trained: their runs are not whole."""
    untracked: list[str] = field(default_factory=list)
    """Without an offline run: not begun, or tracked online or not at all."""
    failed: dict[str, str] = field(default_factory=dict)
    """Cell -> what `wandb sync` said."""

    @property
    def exit_status(self) -> int:
        """0 unless an upload failed."""
        return 1 if self.failed else 0

    def to_json(self) -> dict[str, object]:
        """What `sweep push --json` prints."""
        return {"version": 1, **vars(self)}

    def lines(self) -> list[str]:
        """A summary for a person."""
        counts = [(len(self.pushed), "pushed"), (len(self.earlier), "pushed earlier"), (len(self.running), "running"),
                  (len(self.untracked), "without an offline run"), (len(self.failed), "failed")]  # fmt: skip
        said = [f"{cell}: {text}" for cell, text in self.failed.items()]
        return [*said, ", ".join(f"{count} {what}" for count, what in counts if count) or "no cells"]


def sweep_push(path: Path) -> Pushed:
    """Upload the offline runs of every cell that is not being trained; raises UserError for a folder without a sweep.

    A run is marked when its upload has ended well, so a push that was cut off, or that failed, is simply repeated: the
    run has an id of its own on the server, and a second upload of it makes no second run.
    """
    folder = SweepFolder(path)
    done = Pushed()
    for cell in read_plan(folder).valid():
        run = folder.cell(cell.name)
        _push(cell.name, run, done)
    return done


def _push(cell: str, run: RunFolder, done: Pushed) -> None:
    """Upload one cell's run while holding its lock, so that no trial writes it anew meanwhile."""
    file = offline_file(run) if run.exists() else None
    if file is None:
        done.untracked.append(cell)
        return
    lock = run.lock
    if not lock.acquire():
        done.running.append(cell)
        return
    try:
        content = hash_file(file)
        if read_json(run.path / MARK).get("sha256") == content:
            done.earlier.append(cell)
            return
        print(f"pushing {cell}", file=sys.stderr, flush=True)
        problem = sync(file.parent)
        if problem:
            done.failed[cell] = problem
            return
        write_json(run.path / MARK, {"sha256": content, "run": file.parent.name})
        done.pushed.append(cell)
    finally:
        lock.release()


def offline_file(run: RunFolder) -> Path | None:
    """The newest offline run's file of a cell, which the W&B writer made anew at each attempt."""
    try:
        name = (run.path / "wandb-id.txt").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return wandb_file.offline_file(run.path, name)


def sync(folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """`wandb sync` one offline run; what it said where it failed, else nothing. Raises UserError without a login."""
    done = subprocess.run(
        [*SYNC, str(folder)], capture_output=True, text=True, errors="replace", check=False, env=environment
    )
    said = "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()])
    if "api_key" in said.lower() and "not configured" in said.lower():
        raise UserError("sweep push: not logged in to W&B\n  fix      `wandb login`, or set WANDB_API_KEY")
    if done.returncode or ERROR.search(said):
        lines = [line for line in said.splitlines() if line.strip()]
        return " ".join(lines[-3:]) or f"`wandb sync` ended with exit status {done.returncode}"
    return ""
