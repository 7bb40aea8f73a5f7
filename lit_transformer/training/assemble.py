"""One rank's training, put together from a frozen run: data, task, trainer, and what happens at a step's end."""

import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cache

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import IMAGE_TASKS
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import to_plain
from lit_transformer.data.cache import cache_root
from lit_transformer.data.prepared import Prepared
from lit_transformer.interop import initialise
from lit_transformer.records.checkpoints import CheckpointFolder, Found
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.attention_probe import AttentionProbe
from lit_transformer.training.averaging import Averaging
from lit_transformer.training.checkpoints import Checkpoints
from lit_transformer.training.counted import counted_flops_per_token
from lit_transformer.training.mask_panels import MaskPanels
from lit_transformer.training.measure import peak_flops
from lit_transformer.training.non_finite import Guard
from lit_transformer.training.progress import ProgressReport
from lit_transformer.training.random_state import seed_all
from lit_transformer.training.registry import Parts, build_parts
from lit_transformer.training.rollback import roll_back
from lit_transformer.training.run_log import RunLog
from lit_transformer.training.step_end import StepEnd
from lit_transformer.training.stopping import Agreement, Requests, StopOnSignal
from lit_transformer.training.trainer import build_trainer
from lit_transformer.training.watchdog import Watchdog


@dataclass(frozen=True)
class Assembled:
    """Everything of one rank, ready to be trained."""

    parts: Parts
    trainer: Trainer
    end: StepEnd
    log: RunLog
    checkpoints: Checkpoints
    guard: Guard
    found: Found | None

    def fit(self) -> None:
        """Train from the checkpoint that was found, or from step 0, to the run's end or a signal."""
        path = self.found.path if self.found else None
        self.trainer.fit(self.parts.task, datamodule=self.parts.data, ckpt_path=path, weights_only=True)


def assemble(
    run: RunFolder,
    config: ExperimentConfig,
    prepared: Prepared,
    folder: CheckpointFolder,
    found: Found | None,
    identity: dict[str, object],
    *,
    rank: int,
    stop: StopOnSignal,
    watchdog: Watchdog,
) -> Assembled:
    """Build what rank `rank` trains; `found` is where it goes on, `identity` what its checkpoints say of it."""
    seed_all(config.seed)  # initial weights: the same on every rank
    parts = build_parts(config, prepared, rank=rank, world_size=world_size(config))
    if config.model.init_from is not None and found is None:
        report = initialise(parts.task.network, config.model.init_from)
        if rank == 0:
            print(report, file=sys.stderr)
    seed_all(config.seed + 1_000_003 * (rank + 1))  # dropout: another on every rank
    log, checkpoints = _log(run, config, parts), Checkpoints(run, config.trainer, identity)
    averaging = Averaging(parts.task.network, config.trainer.ema_decay)
    agreement = Agreement()
    guard = Guard(
        config.trainer.non_finite,
        agreement,
        go_back=lambda: roll_back(run, trainer, parts.task, averaging),
    )
    end = StepEnd(
        config, total_steps=parts.total_steps, stop=stop, agreement=agreement, log=log, checkpoints=checkpoints,
        guard=guard, averaging=averaging, watchdog=watchdog, requests=Requests(run),
    )  # fmt: skip
    callbacks: list[Callback] = [RanksAgree(run, config, found, agreement), end]
    if rank == 0:
        unit = "pixels" if config.task in IMAGE_TASKS else "tokens"
        callbacks.append(ProgressReport(log, parts.total_steps, monitor=parts.task.monitor, unit=unit))
        if config.tracking.attention:
            callbacks.append(AttentionProbe(run))
        if config.task in IMAGE_TASKS:
            callbacks.append(MaskPanels(run))
    trainer = build_trainer(config, run, folder, callbacks, task=type(parts.task), total_steps=parts.total_steps)
    return Assembled(parts, trainer, end, log, checkpoints, guard, found)


def world_size(config: ExperimentConfig) -> int:
    """Ranks of a run, over all nodes."""
    return config.trainer.devices * config.trainer.num_nodes


def _log(run: RunFolder, config: ExperimentConfig, parts: Parts) -> RunLog:
    def peak() -> float | None:
        threads = config.trainer.threads or torch.get_num_threads()
        return peak_flops(parts.task.device, config.trainer.precision, threads, cache_root())

    return RunLog(
        run,
        log_every=config.tracking.log_every,
        tokens_per_step=parts.tokens_per_step,
        steps_per_epoch=parts.data.steps_per_epoch,
        total_steps=parts.total_steps,
        flops_per_token=cache(lambda: counted_flops_per_token(config, cache_root())),
        peak_flops=peak,
    )


class RanksAgree(Callback):
    """Before the first step: every rank trains the same config and goes on from the same checkpoint."""

    def __init__(self, run: RunFolder, config: ExperimentConfig, found: Found | None, agreement: Agreement) -> None:
        self._run, self._config, self._found, self._agreement = run, config, found, agreement

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._agreement.start(trainer.world_size)
        # what this rank holds, and not the file: it may have read another one
        held = json.dumps(to_plain(self._config), sort_keys=True)
        config = hashlib.sha256(held.encode()).hexdigest()[:12]
        checkpoint = self._found.entry.sha256[:12] if self._found else "none"
        seen = self._agreement.gather((config, checkpoint))
        for rank, theirs in enumerate(seen):
            if theirs != seen[0]:
                raise UserError(
                    f"rank {rank} sees another run in {self._run.path} than rank 0\n"
                    f"  got      config and checkpoint {theirs}, on rank 0 {seen[0]} (SHA-256)\n"
                    "  allowed  one folder, the same on every node\n"
                    "  fix      put runs on a file system that all nodes share"
                )
