"""A tiny data set, a tiny experiment and sweeps over it."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from lit_transformer.records.run_folder import read_rows

T = TypeVar("T")

EXPERIMENT = """
task: language_model
model: {{kind: gpt, num_layers: 1, num_heads: 1, d_model: 16, context_length: 16}}
data: {{source: text, path: {text}, batch_size: 4, tokenizer: {{kind: characters}}}}
schedule: {{warmup_steps: 1}}
trainer: {{max_steps: 6, val_every: 3, limit_val_batches: 2}}
tracking: {{wandb: "off", log_every: 2}}
"""
SWEEP = """
method: grid
metric: {{name: val/loss, goal: minimize}}
parameters:
  experiment: {{value: {experiment}}}
  {parameters}
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPT that trains in a second on a text of its own; prepared data go to the test's folder."""
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog and sleeps. " * 80, encoding="utf-8")
    path = tmp_path / "tiny.yaml"
    path.write_text(EXPERIMENT.format(text=text), encoding="utf-8")
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_MODE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    return path


@pytest.fixture
def write_sweep(tmp_path: Path, experiment: Path) -> Callable[..., Path]:
    """Writes a sweep file over the tiny experiment with these lines under `parameters`."""

    def write(*parameters: str, name: str = "sweep.yaml") -> Path:
        path = tmp_path / name
        path.write_text(SWEEP.format(experiment=experiment, parameters="\n  ".join(parameters)), encoding="utf-8")
        return path

    return write


class Drive:
    """A driver in a process of its own, and what can be done to it."""

    def __init__(self, folder: Path, log: Path, verb: list[str], worker: str | None) -> None:
        self.folder = folder
        self.log = log
        program = ["-m", "lit_transformer"] if worker is None else [str(Path(__file__).with_name("drive.py")), worker]
        with log.open("wb") as file:
            command = [sys.executable, *program, "sweep", *verb]
            self.process = subprocess.Popen(command, stdout=file, stderr=file)

    def wait(self, seconds: float = 240) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def until(self, condition: Callable[[], T | None], seconds: float = 120) -> T:
        """What `condition` gives as soon as it gives something, while the driver lives."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.01)
        raise AssertionError(f"nothing after {seconds} s\n{self.log.read_text()}")

    def family(self) -> list[psutil.Process]:
        """Every process under the driver."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def trials(self, steps: int = 1) -> dict[str, psutil.Process]:
        """Cell -> the process that holds its run folder's lock and has logged `steps` or more."""
        found = {}
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                for file in process.open_files():
                    path = Path(file.path)
                    if path.name == ".lock" and path.parent.parent == self.folder / "cells":
                        rows = read_rows(path.parent / "metrics.jsonl")
                        if rows and (rows[-1]["step"] or 0) >= steps:
                            found[path.parent.name] = process
        return found

    def workers(self) -> list[psutil.Process]:
        """The driver's workers."""
        return [item for item in psutil.Process(self.process.pid).children() if "worker" in " ".join(item.cmdline())]


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Drive]]:
    """Starts `sweep run` in a process (`retry` without a sweep, `agent`); what is left of it at the end is killed."""
    drives: list[Drive] = []

    def start(
        sweep: Path | None = None,
        output: str = "runs",
        *,
        overrides: Sequence[str] = (),
        agent: str = "",
        worker: str | None = None,
        workers: int = 1,
        **options: int,
    ) -> Drive:
        root = tmp_path / output  # an absolute one stays what it is
        folder = Path(agent) if agent else root / "sweeps" / (sweep.stem if sweep else "sweep")
        verb = ["run", str(sweep), "--output", str(root)] if sweep else ["agent" if agent else "retry", str(folder)]
        words = [f"--{name}={value}" for name, value in {"workers": workers, **options}.items()]
        drives.append(Drive(folder, tmp_path / f"log-{len(drives)}.txt", [*verb, *words, *overrides], worker))
        return drives[-1]

    yield start
    for item in drives:
        if item.process.poll() is None:
            item.process.kill()
            item.process.wait()


@pytest.fixture
def gone() -> Callable[..., list[psutil.Process]]:
    """Waits for processes to end; gives those that do not."""
    return _gone


def _gone(processes: list[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """Those that still live after so many seconds."""
    return psutil.wait_procs(processes, timeout=seconds)[1]
