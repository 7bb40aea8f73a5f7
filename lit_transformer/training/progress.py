"""How far a run is: a bar with ETA on a terminal, a plain line per interval elsewhere."""

import sys
import time

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lit_transformer.training.run_log import RunLog

INTERVAL_SECONDS = 10.0
"""Between plain lines."""
REFRESH_SECONDS = 0.25
"""Between updates of the bar: each costs a millisecond that training would have."""


class ProgressReport(Callback):
    """Steps, newest metrics, tokens (of images pixels) a second and ETA on standard error."""

    def __init__(self, log: RunLog, total_steps: int, *, monitor: str, unit: str) -> None:
        self._log, self._unit = log, unit
        self._names = dict.fromkeys(("train/loss", "val/loss", monitor))
        self._total = total_steps
        self._bar: Progress | None = None
        self._shown = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start, self._first_step = time.monotonic(), trainer.global_step
        self._shown = self._start
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("step"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[metrics]}"),
                console=Console(stderr=True),
                auto_refresh=False,
            )
            self._task = self._bar.add_task("train", total=self._total, completed=self._first_step, metrics="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now - self._shown >= (REFRESH_SECONDS if self._bar else INTERVAL_SECONDS):
            self._shown = now
            self._show(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer.global_step)
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was; the run may have ended by an error."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step, metrics=self._metrics(), refresh=True)
            return
        elapsed = time.monotonic() - self._start
        left = elapsed / max(step - self._first_step, 1) * (self._total - step)
        print(f"step {step}/{self._total}  {self._metrics()}  ETA {left:.0f} s", file=sys.stderr, flush=True)

    def _metrics(self) -> str:
        shown = {name: self._log.last[name] for name in self._names if name in self._log.last}
        rate = f"  {self._log.tokens_per_second:,.0f} {self._unit}/s" if self._log.tokens_per_second else ""
        return "  ".join(f"{name} {value:.4f}" for name, value in shown.items()) + rate
