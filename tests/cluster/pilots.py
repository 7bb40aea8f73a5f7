"""`sweep run --on slurm` in a process, and what tests do to its jobs."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.status import sweep_status

LONGER = ["trainer.max_steps=400", "trainer.val_every=200", "trainer.checkpoint_every=20", "trainer.threads=1"]
GRID = """
method: grid
metric: {{name: val/loss, goal: minimize}}
parameters:
  experiment: {{value: {experiment}}}
  seed: {{values: [{seeds}]}}
"""


class Pilots:
    """A sweep's file, its folder, and its pilots on a cluster."""

    def __init__(self, cluster: Any, root: Path, sweep: str) -> None:
        self._cluster, self._root = cluster, root
        self.file = root / "sweep.yaml"
        self.file.write_text(sweep)
        self.folder = root / "runs" / "sweeps" / "sweep"

    def command(self, *options: str) -> list[str]:
        where = ["--output", str(self._root / "runs"), *options]
        return [sys.executable, "-m", "lit_transformer", "sweep", "run", str(self.file), *where]

    def submit(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self._cluster.shell(*self.command("--on", "slurm", "--detach", *options))

    def signal(self, name: str, job: str) -> None:
        """Send the pilot a signal, as SLURM does where it is told `--signal=B:...`."""
        assert self._cluster.shell("scancel", f"--signal={name}", "--batch", job).returncode == 0

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another verb of `sweep`."""
        return self._cluster.shell(sys.executable, "-m", "lit_transformer", "sweep", *arguments)

    def jobs(self) -> list[str]:
        return json.loads((self.folder / "slurm" / "jobs.json").read_text())["jobs"]

    def said(self) -> str:
        logs = [*(self.folder / "slurm").glob("*.out"), *(self.folder / "cells").glob("*/log.txt")]
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in logs)

    def until(self, condition: Callable[[], Any], seconds: float = 800) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"nothing after {seconds} s\n{self.said()}\n{self._cluster.said()}")

    def gone(self, job: str) -> bool:
        return job not in self.queue()

    def ranks(self, name: str) -> set[psutil.Process]:
        """The processes of a cell's srun step."""
        words = ["lit_transformer.processes.asked", str(self.cell(name).path)]
        found = set()
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
            except psutil.Error:
                continue
            if all(word in line for word in words) and "srun" not in line[0]:
                found.add(process)
        return found

    def cell(self, name: str) -> RunFolder:
        return RunFolder(self.folder / "cells" / name)

    def steps(self, name: str) -> float:
        rows = self.cell(name).read_metrics()
        return (rows[-1]["step"] or 0) if rows else 0

    def ends(self, name: str) -> list[str]:
        return [end for _, end in sorted(read_claims(self.folder / "claims")[name].ends.items())]

    def done(self) -> bool:
        return sweep_status(self.folder).exit_status == 0

    def queue(self) -> dict[str, tuple[str, str]]:
        """Job -> its state and its nodes."""
        lines = self._cluster.shell("squeue", "-h", "-o", "%i %T %N").stdout.splitlines()
        return {words[0]: (words[1], words[2] if len(words) > 2 else "") for words in map(str.split, lines)}


def assert_same(made: Pilots, calm: Path, *cells: str) -> None:
    """The cells were completed once, with the metrics of the undisturbed ones, byte for byte."""
    for cell in cells:
        assert Counter(made.ends(cell))["complete"] == 1
        assert made.cell(cell).metrics_file.read_bytes() == (calm / cell / "metrics.jsonl").read_bytes() != b""


def train_here(root: Path, sweep: str, *settings: str) -> Path:
    """The cells of a sweep, run on this machine and left alone."""
    file = root / "sweep.yaml"
    file.write_text(sweep)
    command = [sys.executable, "-m", "lit_transformer", "sweep", "run", str(file), "--output", str(root / "runs")]
    done = subprocess.run([*command, "tracking.wandb=off", *settings], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root / "runs" / "sweeps" / "sweep" / "cells"
