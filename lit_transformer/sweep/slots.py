"""How a machine is divided among a sweep's workers: cores or GPUs, memory, threads."""

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten
from lit_transformer.processes.hardware import accelerator, cores, cuda_devices
from lit_transformer.sweep.cells import Cell

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


def divide(
    cells: Sequence[Cell], workers: int | None = None, threads: int | None = None, per_device: int | None = None
) -> Slots:
    """Divide this machine: a worker per `trainer.devices` GPUs, or per as many groups of threads.

    Raises UserError where there are too few GPUs. `threads` is what the sweep was frozen with; None shares the cores.
    `per_device` workers share each GPU, or each group of them.
    """
    for option, value in (("--workers", workers), ("--per-device", per_device)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value}: a sweep needs at least one worker.")
    settings = [flatten(cell.config) for cell in cells if cell.problem is None]
    devices = max((int(str(item["trainer.devices"])) for item in settings), default=1)
    wanted = {str(item["trainer.accelerator"]) for item in settings}
    kind = accelerator() if "auto" in wanted or not wanted else ("cuda" if "cuda" in wanted else min(wanted))
    gpus = cuda_devices() if kind == "cuda" else ()
    each = per_device or 1
    if per_device is not None and kind == "cpu":
        raise UserError(
            f"--per-device {per_device}: got a sweep on a CPU, which has no devices to share\n"
            "  allowed  sweeps on GPUs\n"
            "  fix      --workers N says how many trials run at once"
        )
    needed = devices * -(-(workers or 1) // each)
    if kind == "cuda" and len(gpus) < needed:
        raise UserError(
            f"The sweep needs {needed} GPUs and this machine has {len(gpus)}.\n"
            f"  got      --workers {workers or 1} with trainer.devices={devices}, {each} on each GPU\n"
            "  fix      fewer --workers, more --per-device, a smaller trainer.devices, or trainer.accelerator=cpu"
        )
    if workers is None:
        workers = min(_room(kind, len(gpus), devices, threads or 1) * each, max(1, len(settings)))
    shared = max(1, cores() // (workers * devices))
    groups = len(gpus) // devices
    slices = [gpus[index % groups * devices :][:devices] for index in range(workers)] if gpus else []
    return Slots(workers=workers, devices=devices, threads=threads or shared, accelerator=kind, gpus=slices)


def _room(kind: str, gpus: int, devices: int, threads: int) -> int:
    if kind == "cuda":
        return max(1, gpus // devices)
    if kind == "mps":
        return 1  # one GPU, which cannot be divided
    by_memory = int(psutil.virtual_memory().available / (RANK_BYTES * devices))
    return max(1, min(cores() // (devices * threads), by_memory))
