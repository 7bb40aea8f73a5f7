"""Lightning's Trainer, from a run's config."""

import datetime
from collections.abc import Sequence
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from lit_transformer.config.durations import seconds
from lit_transformer.config.schema import ExperimentConfig, TrainerConfig
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task
from lit_transformer.training.checkpoints import VerifiedCheckpointIO

NEVER = 2**62


class StartedRanks(LightningEnvironment):
    """Ranks that are already running, told apart by torchrun's variables; Lightning must not start more."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


def build_trainer(
    config: ExperimentConfig,
    run: RunFolder,
    folder: CheckpointFolder,
    callbacks: Sequence[Callback],
    *,
    task: type[Task],
    total_steps: int,
) -> Trainer:
    """A Trainer that logs, validates, saves and stops nothing by itself: StepEnd does, once for all tasks."""
    settings = config.trainer
    plugins: list[Any] = [VerifiedCheckpointIO(folder), StartedRanks()]
    trainer = Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=_strategy(settings),
        precision=settings.precision,
        deterministic=settings.deterministic or None,
        sync_batchnorm=settings.accelerator == "cuda",  # one batch over all ranks; torch has it for CUDA alone
        max_steps=total_steps,
        max_epochs=-1,
        accumulate_grad_batches=settings.accumulate,
        val_check_interval=NEVER,
        check_val_every_n_epoch=None,
        limit_val_batches=1 if settings.fast_dev_run else settings.limit_val_batches,
        callbacks=[*_early_stopping(settings, task), *callbacks],
        plugins=plugins,
        profiler=SimpleProfiler(dirpath=run.path, filename="profile") if settings.profile else None,
        default_root_dir=run.path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # ours shards already; Lightning would replace it
    )
    _leave_signals_alone(trainer)
    return trainer


def _leave_signals_alone(trainer: Trainer) -> None:
    """Keep Lightning from handling SIGTERM: it broadcasts inside the handler, which hangs several ranks.

    It would also ask rank 0 for it before each batch, waiting for the GPU; StepEnd asks once a step, on the CPU.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def _strategy(trainer: TrainerConfig) -> Strategy | str:
    if trainer.devices * trainer.num_nodes == 1 and trainer.strategy == "auto":
        return "auto"
    # the watchdog, which names the rank that hangs, is to come first
    patience = 2 * seconds(trainer.hang_timeout) if trainer.hang_timeout else 7 * 24 * 3600
    return DDPStrategy(
        process_group_backend="nccl" if trainer.accelerator == "cuda" else "gloo",
        timeout=datetime.timedelta(seconds=max(patience, 60)),
        find_unused_parameters=False,
        gradient_as_bucket_view=True,
    )


def _early_stopping(trainer: TrainerConfig, task: type[Task]) -> list[Callback]:
    stopping = trainer.early_stopping
    if stopping.patience is None:
        return []
    return [
        EarlyStopping(
            monitor=task.monitor,
            mode=task.monitor_mode,
            patience=stopping.patience,
            min_delta=stopping.min_delta,
            check_finite=False,
            verbose=True,
        )
    ]
