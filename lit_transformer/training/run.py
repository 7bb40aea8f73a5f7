"""One rank of one frozen run: what the fork server's children execute."""

import logging
import os
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from lit_transformer.config.durations import seconds
from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.cache import cache_root
from lit_transformer.data.loader import LoaderDied
from lit_transformer.processes.memory import keep_freed_memory
from lit_transformer.processes.progress_file import Phase
from lit_transformer.records.atomic import is_full, read_json
from lit_transformer.records.checkpoints import CheckpointFolder, Found
from lit_transformer.records.requests import Request, forget_request, read_request
from lit_transformer.records.run_folder import RunFolder, Status
from lit_transformer.records.sweep_folder import sweep_of
from lit_transformer.training.assemble import Assembled, assemble, world_size
from lit_transformer.training.checkpoints import check_space
from lit_transformer.training.counted import counted_flops_per_token
from lit_transformer.training.identity import identity
from lit_transformer.training.measure import peak_memory_bytes
from lit_transformer.training.non_finite import Diverged
from lit_transformer.training.registry import open_prepared
from lit_transformer.training.result import Result, write_result
from lit_transformer.training.resume import continue_from, drift_allowed
from lit_transformer.training.stopping import StopOnSignal, exit_status
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
        watchdog = Watchdog(run.path, rank, world_size(config), seconds(timeout) if timeout else None)
        watchdog.start()
        return _Training(run, config, rank, stop, watchdog).run()
    except Exception as error:
        kind: Status = "diverged" if isinstance(error, Diverged) else "failed"
        print(_said(run, error), file=sys.stderr)
        refused = isinstance(error, UserError) and run.status() == "complete"  # what is complete stays so
        if rank == 0 and not refused and not _lost_a_peer(error):
            _write_failure(run, kind, error)
        return 2 if isinstance(error, UserError) else 1
    finally:
        lock.release()


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
        made = assemble(
            run, config, prepared, folder, found, who, rank=self.rank, stop=self.stop, watchdog=self.watchdog
        )
        if self.rank == 0:
            check_space(run, made.parts.task.network, config.optimizer, config.trainer)
        made.fit()
        self.watchdog.mark(Phase.ENDING, made.trainer.global_step)
        if made.end.stopped_by and not made.end.finished:
            return exit_status(made.end.stopped_by)
        if self.rank == 0:
            result = _result(made, read_request(run) if made.end.pruned else None)
            write_result(run, result)
            self._prune(folder)  # a kill before the result needs every checkpoint to go on from
            forget_request(run)
        return 0

    def _prune(self, folder: CheckpointFolder) -> None:
        keep = self.config.trainer.keep
        try:
            folder.prune(("best" if sweep_of(self.folder) else "all") if keep == "auto" else keep)
        except OSError as error:  # the run is complete, with more files than it was to keep
            print(f"Some checkpoints of {self.folder.path} could not be removed: {error}", file=sys.stderr)

    def _set_up_process(self) -> None:
        warnings.filterwarnings("ignore", module="lightning")  # advice on settings that are ours to choose
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        if self.config.trainer.accelerator == "cpu":
            keep_freed_memory()
        if self.config.trainer.threads:
            torch.set_num_threads(self.config.trainer.threads)  # OMP_NUM_THREADS comes too late in a forked child
            os.environ["OMP_NUM_THREADS"] = str(self.config.trainer.threads)  # else Lightning sets a number of its own

    def _continue_from(self, folder: CheckpointFolder, who: dict[str, object]) -> Found | None:
        if self.rank == 0:
            folder.clean()
            return continue_from(self.folder, who, allow_drift=drift_allowed(), folder=folder)
        return folder.newest(lambda text: None)


def _result(made: Assembled, pruned: Request | None) -> Result:
    parts, steps = made.parts, made.trainer.global_step
    tokens = steps * parts.tokens_per_step
    flops = counted_flops_per_token(parts.task.config, cache_root())
    return Result(
        status="pruned" if made.end.pruned else "complete",
        error=pruned.why if pruned else None,
        stop=dict(pruned.details) if pruned else None,
        metrics=made.checkpoints.best,
        best_step=made.checkpoints.best_step,
        last_metrics=made.log.last,
        parameters=sum(parameter.numel() for parameter in parts.task.network.parameters()),
        flops_per_token=flops,
        flops=flops * tokens,
        tokens=tokens,
        steps=steps,
        steps_left_out=made.guard.left_out,
        seconds=round(made.log.seconds, 3),
        tokens_per_second=round(made.log.tokens_per_second, 1),
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
