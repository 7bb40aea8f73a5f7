"""One rank of one frozen run: what the fork server's children execute."""

import hashlib
import logging
import os
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_transformer.config.durations import seconds
from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.cache import cache_root
from lit_transformer.data.loader import LoaderDied
from lit_transformer.models.flops import flops_per_token
from lit_transformer.processes.progress_file import Phase
from lit_transformer.records.atomic import is_full, read_json
from lit_transformer.records.checkpoints import CheckpointFolder, Found
from lit_transformer.records.run_folder import RunFolder, Status
from lit_transformer.records.sweep_folder import sweep_of
from lit_transformer.training.averaging import Averaging
from lit_transformer.training.checkpoints import Checkpoints, check_space
from lit_transformer.training.identity import identity
from lit_transformer.training.measure import peak_flops, peak_memory_bytes
from lit_transformer.training.non_finite import Diverged, Guard
from lit_transformer.training.progress import ProgressReport
from lit_transformer.training.random_state import seed_all
from lit_transformer.training.registry import Parts, build_parts, open_prepared
from lit_transformer.training.result import Result, write_result
from lit_transformer.training.resume import continue_from, drift_allowed
from lit_transformer.training.rollback import roll_back
from lit_transformer.training.run_log import RunLog
from lit_transformer.training.step_end import StepEnd
from lit_transformer.training.stopping import Agreement, StopOnSignal, exit_status
from lit_transformer.training.trainer import build_trainer
from lit_transformer.training.watchdog import Watchdog


def main(folder: str) -> int:
    """Train the frozen run in `folder` as the rank that the environment names, going on from its newest checkpoint.

    Returns the exit status: 0 complete, 1 failed or diverged, 2 the user's mistake, 130 or 143 stopped by a signal
    after a checkpoint.
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
        timeout = config.trainer.hang_timeout
        watchdog = Watchdog(run.path, rank, _world_size(config), seconds(timeout) if timeout else None)
        watchdog.start()
        return _Training(run, config, rank, stop, watchdog).run()
    except Exception as error:
        kind: Status = "diverged" if isinstance(error, Diverged) else "failed"
        print(_said(run, error), file=sys.stderr)
        if rank == 0 and not _lost_a_peer(error):
            _write_failure(run, kind, error)
        return 2 if isinstance(error, UserError) else 1
    finally:
        lock.release()


def _world_size(config: ExperimentConfig) -> int:
    return config.trainer.devices * config.trainer.num_nodes


@dataclass
class _Training:
    """What one rank does from its start to its end."""

    folder: RunFolder
    config: ExperimentConfig
    rank: int
    stop: StopOnSignal
    watchdog: Watchdog

    def run(self) -> int:
        """The exit status."""
        self._set_up_process()
        run, config = self.folder, self.config
        prepared = open_prepared(config, read_json(run.prepared_file))
        who = identity(config, prepared.fingerprint)
        folder = CheckpointFolder(run.checkpoints, keep=config.trainer.keep_checkpoints)
        found = self._continue_from(folder, who)
        seed_all(config.seed)  # initial weights: the same on every rank
        parts = build_parts(config, prepared, rank=self.rank, world_size=_world_size(config))
        seed_all(config.seed + 1_000_003 * (self.rank + 1))  # dropout: another on every rank
        if self.rank == 0:
            check_space(run, parts.task.network, config.optimizer, config.trainer)
        log, checkpoints = self._log(parts), Checkpoints(run, config.trainer, who)
        averaging = Averaging(parts.task.network, config.trainer.ema_decay)
        agreement = Agreement()
        guard = Guard(
            config.trainer.non_finite,
            agreement,
            scaled=config.trainer.precision == "16-mixed",
            go_back=lambda: roll_back(run, trainer, parts.task, averaging),
        )
        end = StepEnd(
            config, total_steps=parts.total_steps, stop=self.stop, agreement=agreement, log=log,
            checkpoints=checkpoints, guard=guard, averaging=averaging, watchdog=self.watchdog,
        )  # fmt: skip
        callbacks: list[Callback] = [RanksAgree(run, found, agreement), end]
        if self.rank == 0:
            callbacks.append(ProgressReport(log, parts.total_steps))
        trainer = build_trainer(config, run, folder, callbacks, total_steps=parts.total_steps)
        trainer.fit(parts.task, datamodule=parts.data, ckpt_path=found.path if found else None, weights_only=True)
        self.watchdog.mark(Phase.ENDING, trainer.global_step)
        if end.stopped_by and not end.finished:
            return exit_status(end.stopped_by)
        if self.rank == 0:
            result = _result(trainer, parts, log, checkpoints, guard)
            keep = config.trainer.keep
            folder.prune(("best" if sweep_of(run) else "all") if keep == "auto" else keep)
            write_result(run, result)
        return 0

    def _set_up_process(self) -> None:
        warnings.filterwarnings("ignore", module="lightning")  # advice on settings that are ours to choose
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        if self.config.trainer.threads:
            torch.set_num_threads(self.config.trainer.threads)  # OMP_NUM_THREADS comes too late in a forked child
            os.environ["OMP_NUM_THREADS"] = str(self.config.trainer.threads)  # else Lightning sets a number of its own

    def _continue_from(self, folder: CheckpointFolder, who: dict[str, object]) -> Found | None:
        if self.rank == 0:
            folder.clean()
            return continue_from(self.folder, who, allow_drift=drift_allowed(), folder=folder)
        return folder.newest(lambda text: None)

    def _log(self, parts: Parts) -> RunLog:
        def peak() -> float | None:
            threads = self.config.trainer.threads or torch.get_num_threads()
            return peak_flops(parts.task.device, self.config.trainer.precision, threads, cache_root())

        return RunLog(
            self.folder,
            log_every=self.config.tracking.log_every,
            tokens_per_step=parts.tokens_per_step,
            flops_per_token=lambda: flops_per_token(self.config.model),
            peak_flops=peak,
        )


class RanksAgree(Callback):
    """Before the first step: every rank has read the same config and goes on from the same checkpoint."""

    def __init__(self, run: RunFolder, found: Found | None, agreement: Agreement) -> None:
        self._run, self._found, self._agreement = run, found, agreement

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._agreement.start(trainer.world_size)
        config = hashlib.sha256(self._run.config_file.read_bytes()).hexdigest()[:12]
        checkpoint = self._found.entry.sha256[:12] if self._found else "none"
        seen = self._agreement.gather((config, checkpoint))
        for rank, theirs in enumerate(seen):
            if theirs != seen[0]:
                raise UserError(
                    f"rank {rank} sees another run in {self._run.path} than rank 0\n"
                    f"  got      config.yaml and checkpoint {theirs}, on rank 0 {seen[0]} (SHA-256)\n"
                    "  allowed  one folder, the same on every node\n"
                    "  fix      put runs on a file system that all nodes share"
                )


def _result(trainer: Trainer, parts: Parts, log: RunLog, checkpoints: Checkpoints, guard: Guard) -> Result:
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
        steps_left_out=guard.left_out,
        seconds=round(log.seconds, 3),
        tokens_per_second=round(log.tokens_per_second, 1),
        peak_memory_bytes=peak_memory_bytes(parts.task.device),
    )


def _lost_a_peer(error: Exception) -> bool:
    """Whether a collective failed because another rank is gone: that rank's end is the run's, and it may go on."""
    return isinstance(error, torch.distributed.DistBackendError) or (
        isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection" in str(error))
    )


def _said(run: RunFolder, error: Exception) -> str:
    """An error in words, with a traceback only where it is a fault of ours."""
    if is_full(error):
        return f"The disk is full ({error}): what stands in {run.path} is whole. Free some space and train again."
    if _lost_a_peer(error):
        return f"Another rank ended: {str(error).splitlines()[0]}"
    return str(error) if isinstance(error, UserError | Diverged | LoaderDied) else traceback.format_exc()


def _write_failure(run: RunFolder, status: Status, error: Exception) -> None:
    rows = run.read_metrics()
    steps = int(rows[-1].get("step") or 0) if rows else 0
    last = {name: value for row in rows for name, value in row.items() if name != "step" and value is not None}
    try:
        write_result(run, Result(status=status, error=_said(run, error), steps=steps, last_metrics=last))
    except OSError as failure:  # a full disk: without a result the run counts as unfinished, which it is
        print(f"{run.result_file} could not be written: {failure}", file=sys.stderr)
