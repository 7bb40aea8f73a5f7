"""What this machine has, found without importing torch; resolves what `auto` and null leave open."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from lit_transformer.config.load import with_values
from lit_transformer.config.schema import ExperimentConfig


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cuda_devices() -> tuple[str, ...]:
    """Ids of the CUDA devices that a child may use, as CUDA_VISIBLE_DEVICES names them."""
    if "+cpu" in _torch_version():
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(part.strip() for part in visible.split(",") if part.strip() not in ("", "-1"))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    gpus = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return tuple(str(index) for index in range(len(gpus)))


def accelerator() -> str:
    """cuda where there is a GPU, else mps on Apple's machines, else cpu."""
    if cuda_devices():
        return "cuda"
    return "mps" if platform.system() == "Darwin" and platform.machine() == "arm64" else "cpu"


def resolved(config: ExperimentConfig, *, workers: int = 1) -> tuple[ExperimentConfig, dict[str, str]]:
    """`config` with accelerator and threads decided for this machine, and the origins of what was decided."""
    values: dict[str, object] = {}
    if config.trainer.accelerator == "auto":
        values["trainer.accelerator"] = accelerator()
    if config.trainer.threads is None:
        values["trainer.threads"] = max(1, cores() // (config.trainer.devices * workers))
    return with_values(config, values), dict.fromkeys(values, "this machine")


def _torch_version() -> str:
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""
