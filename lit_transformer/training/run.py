"""One rank of one frozen run: what the fork server's children execute."""

import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.cache import cache_root
from lit_transformer.models.flops import flops_per_token
from lit_transformer.records.atomic import is_full, read_json
from lit_transformer.records.run_folder import RunFolder, Status
from lit_transformer.records.sweep_folder import sweep_of
from lit_transformer.training.checkpoints import Checkpoints, prune
from lit_transformer.training.measure import peak_flops, peak_memory_bytes
from lit_transformer.training.progress import ProgressReport
from lit_transformer.training.registry import Parts, build_parts, open_prepared
from lit_transformer.training.result import Result, write_result
from lit_transformer.training.run_log import RunLog
from lit_transformer.training.stopping import Diverged, StopOnSignal
from lit_transformer.training.trainer import build_trainer


def main(folder: str) -> int:
    """Train the frozen run in `folder` as the rank that the environment names; returns the exit status.

    0 complete, 1 failed or diverged, 2 the user's mistake, 130 or 143 stopped by a signal after a checkpoint.
    """
    stop = StopOnSignal()
    run = RunFolder(Path(folder))
    rank = int(os.environ.get("RANK", "0"))
    lock = run.lock
    if rank == 0 and not lock.acquire():
        print(f"{run.path} is being trained by another process.", file=sys.stderr)
        return 2
    try:
        config = from_plain(run.read_config(), str(run.config_file))
        return _train(run, config, rank, stop)
    except SIGTERMException:  # a signal that came before the first step, while Lightning's handler was on
        return stop.exit_status
    except Exception as error:
        kind: Status = "diverged" if isinstance(error, Diverged) else "failed"
        print(_said(run, error), file=sys.stderr)
        if rank == 0:
            _write_failure(run, kind, error)
        return 2 if isinstance(error, UserError) else 1
    finally:
        lock.release()


def _train(run: RunFolder, config: ExperimentConfig, rank: int, stop: StopOnSignal) -> int:
    warnings.filterwarnings("ignore", module="lightning")  # advice on settings that are ours to choose
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)  # OMP_NUM_THREADS comes too late in a forked child
    world_size = config.trainer.devices * config.trainer.num_nodes
    torch.manual_seed(config.seed)  # initial weights: the same on every rank
    parts = build_parts(config, open_prepared(config, read_json(run.prepared_file)), rank=rank, world_size=world_size)
    torch.manual_seed(config.seed + 1_000_003 * (rank + 1))  # dropout: another on every rank
    log, checkpoints = _log(run, config, parts), Checkpoints(run, config.trainer)
    callbacks: list[Callback] = [log, checkpoints, LastValidation(stop, log, checkpoints), stop]
    if rank == 0:
        callbacks.append(ProgressReport(log, parts.total_steps))
    trainer = build_trainer(config, run, callbacks)
    start = time.perf_counter()
    try:
        trainer.fit(parts.task, datamodule=parts.data)
    finally:
        if rank == 0:
            log.flush()
    if stop.received:
        return stop.exit_status
    if rank == 0:
        result = _result(trainer, parts, log, checkpoints, time.perf_counter() - start)
        keep = config.trainer.keep
        prune(run, ("best" if sweep_of(run) else "all") if keep == "auto" else keep)
        write_result(run, result)
    return 0


class LastValidation(Callback):
    """After the last step: validate if that step was not, then save; a stopped run only saves."""

    def __init__(self, stop: StopOnSignal, log: RunLog, checkpoints: Checkpoints) -> None:
        self._stop, self._log, self._checkpoints = stop, log, checkpoints
        self._validated_step = -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._stop.received and self._validated_step != trainer.global_step:
            # As Lightning's own epoch loop does between steps; Trainer.validate would tear the fit down first.
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
        self._checkpoints.save_last(trainer)


def _log(run: RunFolder, config: ExperimentConfig, parts: Parts) -> RunLog:
    def peak() -> float | None:
        threads = config.trainer.threads or torch.get_num_threads()
        return peak_flops(parts.task.device, config.trainer.precision, threads, cache_root())

    return RunLog(
        run,
        log_every=config.tracking.log_every,
        tokens_per_step=parts.tokens_per_step,
        flops_per_token=lambda: flops_per_token(config.model),
        peak_flops=peak,
    )


def _result(trainer: Trainer, parts: Parts, log: RunLog, checkpoints: Checkpoints, elapsed: float) -> Result:
    config = parts.task.config
    tokens = trainer.global_step * parts.tokens_per_step
    flops = flops_per_token(config.model)
    return Result(
        status="complete",
        metrics=checkpoints.best,
        best_step=checkpoints.best_step,
        last_metrics=log.last,
        parameters=sum(parameter.numel() for parameter in parts.task.network.parameters()),
        flops_per_token=flops,
        flops=flops * tokens,
        tokens=tokens,
        steps=trainer.global_step,
        seconds=round(elapsed, 3),
        tokens_per_second=round(log.tokens_per_second, 1),
        peak_memory_bytes=peak_memory_bytes(parts.task.device),
    )


def _said(run: RunFolder, error: Exception) -> str:
    """An error in words, with a traceback only where it is a fault of ours."""
    if is_full(error):
        return f"The disk is full ({error}): what stands in {run.path} is whole. Free some space and train again."
    return str(error) if isinstance(error, UserError | Diverged) else traceback.format_exc()


def _write_failure(run: RunFolder, status: Status, error: Exception) -> None:
    rows = run.read_metrics()
    steps = int(rows[-1].get("step") or 0) if rows else 0
    last = {name: value for row in rows for name, value in row.items() if name != "step" and value is not None}
    try:
        write_result(run, Result(status=status, error=_said(run, error), steps=steps, last_metrics=last))
    except OSError as failure:  # a full disk: without a result the run counts as unfinished, which it is
        print(f"{run.result_file} could not be written: {failure}", file=sys.stderr)
