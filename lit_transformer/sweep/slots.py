"""How a machine is divided among a sweep's workers: cores or GPUs, memory, threads."""

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from lit_transformer.config.errors import UserError
from lit_transformer.processes.hardware import accelerator, cores, cuda_devices
from lit_transformer.sweep.cells import Cell
from lit_transformer.sweep.plan import flat

RANK_BYTES = 1.5 * 2**30
"""Memory that a rank takes on a CPU at least, with torch, Lightning and its share of the fork server."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """A machine's workers."""

    workers: int
    devices: int
    """Ranks of the largest cell."""
    threads: int
    """CPU threads of each rank."""
    accelerator: str
    gpus: Sequence[Sequence[str]] = ()
    """GPUs of each worker; empty where none are used."""


def divide(cells: Sequence[Cell], workers: int | None = None, threads: int | None = None) -> Slots:
    """Divide this machine: a worker per `trainer.devices` GPUs, or per as many cores.

    Raises UserError where there are too few GPUs. `threads` is what the sweep was frozen with; None shares the cores.
    """
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: a sweep needs at least one worker.")
    settings = [dict(flat(cell.config)) for cell in cells if cell.problem is None]
    devices = max((int(str(item["trainer.devices"])) for item in settings), default=1)
    wanted = {str(item["trainer.accelerator"]) for item in settings}
    kind = accelerator() if "auto" in wanted or not wanted else ("cuda" if "cuda" in wanted else min(wanted))
    gpus = cuda_devices() if kind == "cuda" else ()
    if kind == "cuda" and len(gpus) < devices * (workers or 1):
        raise UserError(
            f"The sweep needs {devices * (workers or 1)} GPUs and this machine has {len(gpus)}.\n"
            f"  got      --workers {workers or 1} with trainer.devices={devices}\n"
            "  fix      fewer --workers, a smaller trainer.devices, or trainer.accelerator=cpu"
        )
    if workers is None:
        workers = min(_room(kind, len(gpus), devices), max(1, len(settings)))
    shared = max(1, cores() // (workers * devices))
    slices = [gpus[index * devices : (index + 1) * devices] for index in range(workers)] if gpus else []
    return Slots(workers=workers, devices=devices, threads=threads or shared, accelerator=kind, gpus=slices)


def _room(kind: str, gpus: int, devices: int) -> int:
    if kind == "cuda":
        return max(1, gpus // devices)
    if kind == "mps":
        return 1  # one GPU, which cannot be divided
    by_memory = int(psutil.virtual_memory().available / (RANK_BYTES * devices))
    return max(1, min(cores() // devices, by_memory))
