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
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.checkpoints import AtomicCheckpointIO


class StartedRanks(LightningEnvironment):
    """Ranks that are already running, told apart by torchrun's variables; Lightning must not start more."""

    @property
    def creates_processes_externally(self) -> bool:
        return True


def build_trainer(config: ExperimentConfig, run: RunFolder, callbacks: Sequence[Callback]) -> Trainer:
    """A Trainer that logs, saves and shows nothing by itself: our callbacks do, once for all tasks."""
    trainer = config.trainer
    plugins: list[Any] = [AtomicCheckpointIO()]
    return Trainer(
        accelerator=trainer.accelerator,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        strategy=_strategy(trainer),
        precision=trainer.precision,
        max_steps=-1 if trainer.max_steps is None else trainer.max_steps,
        max_epochs=-1 if trainer.max_epochs is None else trainer.max_epochs,
        max_time=datetime.timedelta(seconds=seconds(trainer.max_time)) if trainer.max_time else None,
        accumulate_grad_batches=trainer.accumulate,
        val_check_interval=trainer.val_every * trainer.accumulate,  # Lightning counts micro-batches
        check_val_every_n_epoch=None,
        limit_train_batches=trainer.limit_train_batches,
        limit_val_batches=trainer.limit_val_batches,
        overfit_batches=trainer.overfit_batches,
        fast_dev_run=trainer.fast_dev_run,
        callbacks=[*callbacks, *_early_stopping(trainer)],
        plugins=plugins,
        profiler=SimpleProfiler(dirpath=run.path, filename="profile") if trainer.profile else None,
        default_root_dir=run.path,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # ours shards already; Lightning would replace it
    )


def _strategy(trainer: TrainerConfig) -> Strategy | str:
    if trainer.devices * trainer.num_nodes == 1 and trainer.strategy == "auto":
        return "auto"
    backend = "nccl" if trainer.accelerator == "cuda" else "gloo"
    return DDPStrategy(
        cluster_environment=StartedRanks(),
        process_group_backend=backend,
        find_unused_parameters=False,
        gradient_as_bucket_view=True,
    )


def _early_stopping(trainer: TrainerConfig) -> list[Callback]:
    stopping = trainer.early_stopping
    if stopping.patience is None:
        return []
    return [
        EarlyStopping(
            monitor="val/loss",
            patience=stopping.patience,
            min_delta=stopping.min_delta,
            check_finite=False,
            verbose=True,
        )
    ]
