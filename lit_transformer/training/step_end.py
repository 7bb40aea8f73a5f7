"""What happens after each optimizer step, in one order on every rank: agree, log, validate, save, stop."""

import signal
import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from lit_transformer.config.durations import seconds
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.optim import apply_settings
from lit_transformer.processes.progress_file import Phase
from lit_transformer.tasks.base import Task
from lit_transformer.training.averaging import Averaging, mean_in_place
from lit_transformer.training.checkpoints import Checkpoints
from lit_transformer.training.non_finite import ADVICE, Diverged, Guard, check_finite
from lit_transformer.training.random_state import random_state, seed_all, set_random_state
from lit_transformer.training.run_log import RunLog
from lit_transformer.training.stopping import PREEMPT, PRUNE, STOP, Agreement, Requests, StopOnSignal
from lit_transformer.training.watchdog import Watchdog


class StepEnd(Callback):
    """The only place where a run validates, logs, saves and ends.

    Everything that a step's end brings is done before its checkpoint is written, so a checkpoint is always the state
    between two steps: a resumed run starts with the next batch, whatever the step, the epoch or the validation. That
    is why Lightning's own validation interval, logging and checkpointing are off, and why its loop sees one epoch
    without end.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        total_steps: int,
        stop: StopOnSignal,
        agreement: Agreement,
        log: RunLog,
        checkpoints: Checkpoints,
        guard: Guard,
        averaging: Averaging,
        watchdog: Watchdog,
        requests: Requests,
    ) -> None:
        self._config, self._total_steps = config, total_steps
        self._max_seconds = seconds(config.trainer.max_time) if config.trainer.max_time else None
        self._stop, self._agreement, self._guard = stop, agreement, guard
        self._log, self._checkpoints = log, checkpoints
        self._averaging, self._watchdog, self._requests = averaging, watchdog, requests
        self._step = 0
        self._rank_state: dict[str, Any] | None = None
        self.stopped_by = 0
        """The signal that ended the run, or the one that a request to stop stands for; 0 where none did."""
        self.pruned = False
        """Whether the run's sweep has seen enough of it."""
        self.finished = False
        """Whether the run has nothing left to do."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        pl_module.accepts = self._guard
        # not by trainer.precision: on a CPU Lightning makes bf16-mixed, which has none, of 16-mixed
        self._guard.scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        self._averaging.to(pl_module.device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        self._log.start()
        self._step = trainer.global_step
        self._guard.step = self._step + 1
        if self._rank_state is not None:
            set_random_state(self._rank_state["random"])
            self._take_settings(trainer)
            pl_module.train_sums.load_state_dict(self._rank_state["sums"], pl_module.device)
        elif self._config.trainer.non_finite == "rollback" and self._step == 0:
            self._checkpoints.save_last(trainer)  # a place to go back to
        self._watchdog.mark(Phase.LOADING, self._step)

    def _take_settings(self, trainer: Trainer) -> None:
        """The restored states bring the settings that they were saved with; --allow-drift may have changed them."""
        schedule = trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(schedule, LambdaLR)
        apply_settings(trainer.optimizers[0], schedule, self._config.optimizer)
        patience = self._config.trainer.early_stopping.patience
        for callback in trainer.early_stopping_callbacks:
            if isinstance(callback, EarlyStopping) and patience is not None:
                callback.patience = patience

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        self._watchdog.mark(Phase.TRAINING, self._step)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._watchdog.mark(Phase.REDUCING, self._step)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *arguments: object) -> None:
        self._watchdog.mark(Phase.VALIDATING, self._step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        if trainer.global_step > self._step:  # else a micro-batch inside an accumulation window
            self._step = trainer.global_step
            self._end_step(trainer, pl_module)
        self._watchdog.mark(Phase.LOADING, self._step)

    def _end_step(self, trainer: Trainer, task: Task) -> None:
        step, settings = self._step, self._config.trainer
        self._averaging.update()
        log_due = step % self._log.log_every == 0
        validation_due, save_due = step % settings.val_every == 0, self._checkpoints.due(step)
        # a GPU is asked only where the host waits for it anyway
        look = trainer.strategy.root_device.type == "cpu" or log_due or validation_due or save_due
        self.stopped_by, time_up, time_save, bad, asked = self._agreement.largest(
            self._stop.asked,
            self._time_is_up(),
            self._checkpoints.time_due(),
            self._guard.seen() if look else 0,
            self._requests.asked() if trainer.is_global_zero else 0,
        )
        self.stopped_by = self.stopped_by or (signal.SIGTERM if asked in (STOP, PREEMPT) else 0)
        self.pruned = asked == PRUNE
        if bad:
            self._log.training(trainer, task, step)
            self._log.end_step(step, write=trainer.is_global_zero)
            raise Diverged(f"loss or gradient is no number at step {bad}; {ADVICE}")
        last = step >= self._total_steps or bool(time_up)
        if log_due or last:
            self._log.training(trainer, task, step)
        if last and settings.average_checkpoints > 1:
            earlier = self._checkpoints.newest_weights(settings.average_checkpoints - 1, before=step)
            with mean_in_place(task, earlier):
                self._validate(trainer, task, keep=self._checkpoints.save_best)
        elif validation_due or last:
            self._validate(trainer, task, keep=self._checkpoints.save_if_best)
        self.finished = last or (trainer.should_stop and not self.stopped_by)  # early stopping, in the validation
        if self.finished and self._log.logged_step != step:
            self._log.training(trainer, task, step)
        self.pruned = self.pruned and not self.finished
        trainer.should_stop = self.finished or bool(self.stopped_by) or self.pruned
        self._log.end_step(step, write=trainer.is_global_zero)
        self._guard.step = step + 1
        if save_due or time_save or trainer.should_stop:
            self._save(trainer)

    def _time_is_up(self) -> bool:
        return self._max_seconds is not None and self._log.elapsed() >= self._max_seconds

    def _validate(self, trainer: Trainer, task: Task, *, keep: Callable[[Trainer, Task], None]) -> None:
        start = time.perf_counter()
        self._watchdog.mark(Phase.VALIDATING, self._step)
        with self._averaging.in_place():
            # As Lightning's own epoch loop does between steps; Trainer.validate would tear the fit down first.
            first = trainer._logger_connector._first_loop_iter
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
            trainer._logger_connector._first_loop_iter = first
            self._log.validation(task.measured)
            check_finite(task.measured["val/loss"], "val/loss", self._step)
            keep(trainer, task)
        self._log.pause(time.perf_counter() - start)

    def _save(self, trainer: Trainer) -> None:
        start = time.perf_counter()
        self._watchdog.mark(Phase.SAVING, self._step)
        self._guard.saved()
        self._checkpoints.save_last(trainer)
        self._log.pause(time.perf_counter() - start)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:  # on all ranks, and not for weights alone
        assert isinstance(pl_module, Task)
        checkpoint.pop("loops")  # Lightning's counts; ours is the step
        own = {"random": random_state(), "sums": pl_module.train_sums.state_dict()}
        checkpoint["ranks"] = self._agreement.gather(own)
        checkpoint["average"] = self._averaging.state_dict()
        checkpoint["run"] = {
            "finished": self.finished,
            "log": self._log.state_dict(),
            "checkpoints": self._checkpoints.state_dict(),
            "guard": self._guard.state_dict(),
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        assert isinstance(pl_module, Task)
        run = checkpoint["run"]
        self._log.load_state_dict(run["log"])
        self._checkpoints.load_state_dict(run["checkpoints"])
        self._guard.load_state_dict(run["guard"])
        self._averaging.load_state_dict(checkpoint["average"])
        self._rank_state = rank_state(checkpoint, trainer.global_rank, trainer.world_size, self._config.seed)
        progress = trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
        progress.ready = progress.completed = checkpoint["global_step"]
        unchanged = {**checkpoint["config"], "tracking": None} == {**pl_module.plain_config, "tracking": None}
        self.finished = run["finished"] and (unchanged or checkpoint["global_step"] >= self._total_steps)
        trainer.should_stop = self.finished


def rank_state(checkpoint: dict[str, Any], rank: int, world_size: int, seed: int) -> dict[str, Any]:
    """What a checkpoint holds for one rank; for another number of ranks, fresh generators and rank 0 has all sums."""
    ranks = checkpoint["ranks"]
    if len(ranks) == world_size:
        return ranks[rank]
    seed_all(seed + 1_000_003 * (rank + 1) + checkpoint["global_step"])
    names = ranks[0]["sums"] if rank == 0 else {}
    sums = {name: sum(other["sums"][name] for other in ranks) for name in names}
    return {"random": random_state(), "sums": sums}
