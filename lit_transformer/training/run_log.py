"""What a run measures, as lines of metrics.jsonl (exact) and system.jsonl (clocked)."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import finite
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task
from lit_transformer.training.measure import memory_bytes

Row = dict[str, float]


class RunLog:
    """One row per logged step, ascending, written when the step is over; every rank computes it, rank 0 writes."""

    def __init__(
        self,
        run: RunFolder,
        *,
        log_every: int,
        tokens_per_step: int,
        steps_per_epoch: int,
        total_steps: int,
        flops_per_token: Callable[[], int],
        peak_flops: Callable[[], float | None],
    ) -> None:
        self.run = run
        self.last: Row = {}
        """The newest value of every metric."""
        self.tokens_per_second = 0.0
        """Over all intervals between rows, validation and checkpoints left out."""
        self.seconds = 0.0
        """Since the run's first step, earlier attempts included."""
        self.log_every = log_every
        self._tokens_per_step, self._steps_per_epoch, self._total_steps = tokens_per_step, steps_per_epoch, total_steps
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._row: Row = {}
        self.logged_step = 0
        """Step of the newest row of training metrics."""
        self._busy_seconds, self._busy_steps = 0.0, 0
        self._open = 0.0  # seconds of training since the newest row, before a resume
        self._first = self._since = time.perf_counter()

    def start(self) -> None:
        """Training begins, or goes on."""
        now = time.perf_counter()
        self._since, self._first = now - self._open, now - self.seconds

    def elapsed(self) -> float:
        """Seconds since the run's first step, earlier attempts included."""
        return time.perf_counter() - self._first

    def training(self, trainer: Trainer, task: Task, step: int) -> None:
        """Take the training metrics since the last row; all ranks take part."""
        metrics = task.take_train_metrics()
        metrics["lr"] = task.used_lr
        if task.gradient_norm is not None:
            metrics["gradient_norm"] = float(task.gradient_norm)
        self._log_system(trainer, step)
        self._add(metrics)

    def validation(self, metrics: Row) -> None:
        """Take the metrics of a validation after this step."""
        self._add(metrics)

    def end_step(self, step: int, *, write: bool) -> None:
        """Write the step's row, if it has one; raises UserError where W&B shows another run than this one."""
        if self._row and write:
            self._check_tracking()
            append_row(self.run.metrics_file, {"step": step, **self._row})
        self._row = {}
        self.seconds = self.elapsed()

    def _check_tracking(self) -> None:
        try:
            trouble = self.run.tracking_error_file.read_text(encoding="utf-8")
        except OSError:  # almost always: there is none
            return
        raise UserError(trouble)

    def pause(self, seconds: float) -> None:
        """Leave out a time in which nothing was trained."""
        self._since += seconds

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "last": self.last,
            "logged_step": self.logged_step,
            "open": time.perf_counter() - self._since,
            "busy": [self._busy_seconds, self._busy_steps],
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.last, self.logged_step, self.seconds = state["last"], state["logged_step"], state["seconds"]
        self._open, (self._busy_seconds, self._busy_steps) = state["open"], state["busy"]
        self.tokens_per_second = state["tokens_per_second"]

    def _log_system(self, trainer: Trainer, step: int) -> None:
        now = time.perf_counter()
        steps, seconds = step - self.logged_step, now - self._since
        self.logged_step, self._since = step, now
        self._busy_steps, self._busy_seconds = self._busy_steps + steps, self._busy_seconds + seconds
        self.tokens_per_second = self._busy_steps * self._tokens_per_step / max(self._busy_seconds, 1e-9)
        if not trainer.is_global_zero:
            return
        rate = steps * self._tokens_per_step / max(seconds, 1e-9)
        with torch.random.fork_rng(devices=[]):  # else what is measured once, or not, would change dropout
            flops, peak = rate * self._flops_per_token(), self._peak_flops()
        row = {
            "step": step,
            "total_steps": self._total_steps,
            "epoch": round(step / max(self._steps_per_epoch, 1), 6),
            "tokens": step * self._tokens_per_step,
            "seconds": round(self.elapsed(), 3),
            "tokens_per_second": round(rate, 1),
            "flops_per_second": round(flops),
            "mfu": round(flops / peak / trainer.world_size, 4) if peak else None,
            "memory_bytes": memory_bytes(trainer.strategy.root_device),
        }
        append_row(self.run.system_file, row)

    def _add(self, metrics: Row) -> None:
        self.last.update(metrics)
        self._row.update(metrics)


def append_row(path: Path, row: Row | dict[str, float | None]) -> None:
    """Append one line of JSON, so that a reader never sees half of it; a full disk leaves the file as it was."""
    line = (json.dumps(finite(row)) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
            while written < len(line):  # a short write: the next one says why
                written += os.write(descriptor, line[written:])
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
