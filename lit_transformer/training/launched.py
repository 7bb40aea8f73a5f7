"""What each process does that torchrun or srun started: agree on one run with the others, then train it as a rank."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from lit_transformer.config.load import Loaded, from_plain
from lit_transformer.processes.launched import Launch
from lit_transformer.processes.launched_settings import settings
from lit_transformer.processes.trial import WRITER_PRELOAD, TrialRunner
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.fit import tracked_status
from lit_transformer.training.meeting import Meeting

IN_ORDER = (0, 130, 143)
"""Statuses of a training that all ranks have ended together."""


def train_as_rank(
    launch: Launch,
    *,
    load: Callable[[], Loaded],
    make: Callable[[Loaded], Path],
    environment: Mapping[str, str] | None = None,
) -> tuple[int, Path | None]:
    """Train one run together with the other ranks: the exit status, and on rank 0 the run's folder.

    `load` gives the settings as this rank was told them; `make` freezes them in the run's folder, on rank 0 alone. The
    mistakes of all ranks, and settings that differ between ranks, are printed by rank 0 and end every rank with
    SystemExit before anything is made. `environment` is what a child of the fork server would get.
    """
    os.environ.update(environment or {})
    with _stdout_to_stderr():
        meeting = Meeting(launch)
        loaded = meeting.same_settings(lambda: settings(load(), launch))
        folder = meeting.make_folder(lambda: make(loaded))
        from lit_transformer.training.run import (
            main,
        )  # seconds of imports: other ranks' mistakes need not wait for them

        run = RunFolder(folder)
        config = from_plain(run.read_config(), str(run.config_file))
        meeting.start_training(config)
        writer = TrialRunner(WRITER_PRELOAD) if launch.rank == 0 and config.tracking.wandb != "off" else None
        if writer is not None:
            writer.track(folder)
        ended = status = main(str(folder))
        if writer is not None:
            status = tracked_status(writer, run, ended)
            writer.end(folder)
            writer.close()
        if ended in IN_ORDER:  # else peers may be gone, and NCCL would wait for them
            torch.distributed.destroy_process_group()
    return status, folder if launch.rank == 0 else None


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Keep standard output for the run's folder: libraries print there, and a launcher mixes the ranks' outputs."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
