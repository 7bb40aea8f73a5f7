"""What a run measures, as lines of metrics.jsonl (exact) and system.jsonl (clocked)."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_transformer.records.atomic import finite
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task
from lit_transformer.training.measure import memory_bytes
from lit_transformer.training.stopping import check_finite


class RunLog(Callback):
    """Writes one row per logged step, ascending; a row waits for the step's validation before it is written."""

    def __init__(
        self,
        run: RunFolder,
        *,
        log_every: int,
        tokens_per_step: int,
        flops_per_token: Callable[[], int],
        peak_flops: Callable[[], float | None],
    ) -> None:
        self.run = run
        self.last: dict[str, float] = {}
        """The newest value of every metric."""
        self.tokens_per_second = 0.0
        """Over all intervals between rows, validation and checkpoints left out."""
        self._log_every = log_every
        self._tokens_per_step = tokens_per_step
        self._flops_per_token, self._peak_flops = flops_per_token, peak_flops
        self._row: dict[str, float] = {}
        self._step = self._logged_step = 0
        self._busy_seconds, self._busy_steps = 0.0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = self._logged_step = trainer.global_step
        self._start = self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step == self._step:
            return  # a micro-batch inside an accumulation window
        self._step = trainer.global_step
        if self._row and self._row["step"] != self._step:
            self.flush()
        if self._step % self._log_every == 0 or self._step == trainer.max_steps:
            self._log_training(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        self._since += time.perf_counter() - self._paused
        self._add(trainer, pl_module.measured)
        for name, value in pl_module.measured.items():
            if name.endswith("/loss"):
                check_finite(value, name, self._step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._logged_step != self._step:
            self._log_training(trainer, pl_module)

    def flush(self) -> None:
        """Write the waiting row, if any."""
        if self._row:
            append_row(self.run.metrics_file, self._row)
            self._row = {}

    def _log_training(self, trainer: Trainer, task: LightningModule) -> None:
        assert isinstance(task, Task)
        metrics = task.take_train_metrics()  # all ranks take part
        metrics["lr"] = task.used_lr
        if task.gradient_norm is not None:
            metrics["gradient_norm"] = float(task.gradient_norm)
        self._log_system(trainer)
        self._add(trainer, metrics)
        for name in ("train/loss", "gradient_norm"):
            if name in metrics:
                check_finite(metrics[name], name, self._step)

    def _log_system(self, trainer: Trainer) -> None:
        now = time.perf_counter()
        steps, seconds = self._step - self._logged_step, now - self._since
        self._logged_step, self._since = self._step, now
        self._busy_steps, self._busy_seconds = self._busy_steps + steps, self._busy_seconds + seconds
        self.tokens_per_second = self._busy_steps * self._tokens_per_step / max(self._busy_seconds, 1e-9)
        if not trainer.is_global_zero:
            return
        rate = steps * self._tokens_per_step / max(seconds, 1e-9)
        flops, peak = rate * self._flops_per_token(), self._peak_flops()
        row = {
            "step": self._step,
            "seconds": round(now - self._start, 3),
            "tokens_per_second": round(rate, 1),
            "flops_per_second": round(flops),
            "mfu": round(flops / peak / trainer.world_size, 4) if peak else None,
            "memory_bytes": memory_bytes(trainer.strategy.root_device),
        }
        append_row(self.run.system_file, row)

    def _add(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        self.last.update(metrics)
        if trainer.is_global_zero:
            self._row = {**self._row, "step": self._step, **metrics}


def append_row(path: Path, row: dict[str, float] | dict[str, float | None]) -> None:
    """Append one line of JSON in one write, so that a reader never sees half of it."""
    line = json.dumps(finite(row)) + "\n"
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())
