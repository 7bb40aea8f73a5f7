"""What this machine has, found without importing torch; resolves what `auto` and null leave open, checks the rest."""

import os
import platform
from functools import cache
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import with_values
from lit_transformer.config.schema import ExperimentConfig, TrainerConfig
from lit_transformer.processes.gpus import VISIBLE, Gpu, listed_gpus, torch_version, visible_gpus

BF16_CAPABILITY = (8, 0)
"""Compute capability of the first NVIDIA GPUs that calculate in bf16 (Ampere); torch emulates it on older ones."""

BF16_MACOS = 14
"""The first macOS whose Metal knows bf16."""


def cores() -> int:
    """CPU cores that this process may use, by affinity and by its control group's quota."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return usable if quota is None else max(1, min(usable, int(quota)))


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """CPU seconds a second that this process's control groups, such as a container's, allow; None without a limit."""
    limits = [text.split() for text in group_values("cpu.max", root, own)]
    first = [root / "cpu" / f"cpu.cfs_{name}_us" for name in ("quota", "period")]  # the groups' first version
    if all(file.is_file() for file in first):
        limits.append([file.read_text().strip() for file in first])
    return min((int(time) / int(period) for time, period in limits if time not in ("max", "-1")), default=None)


def group_values(
    file: str, root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> tuple[str, ...]:
    """What `file` says in this process's control group and in each above it; a limit there holds for this one too."""
    try:
        group = next(line.removeprefix("0::/") for line in own.read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        group = ""
    folders = [root / group, *(root / group).parents]
    return tuple((folder / file).read_text() for folder in folders if (folder / file).is_file())


@cache
def processor() -> str:
    """The CPU's model name, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def usable_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that a child may use; none under a torch without CUDA."""
    return () if "+cpu" in torch_version() else visible_gpus()


def cuda_devices() -> tuple[str, ...]:
    """Ids of the CUDA devices that a child may use, as CUDA_VISIBLE_DEVICES names them."""
    return tuple(gpu.id for gpu in usable_gpus())


def gpu_names() -> tuple[str, ...]:
    """Names of the CUDA devices that a child may use."""
    return tuple(gpu.name or f"GPU {gpu.id}" for gpu in usable_gpus())


def has_mps() -> bool:
    """Whether this is one of Apple's machines with a GPU that torch uses."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def accelerator() -> str:
    """cuda where there is a GPU, else mps on Apple's machines, else cpu."""
    if cuda_devices():
        return "cuda"
    return "mps" if has_mps() else "cpu"


def resolved(config: ExperimentConfig, *, workers: int = 1) -> tuple[ExperimentConfig, dict[str, str]]:
    """`config` with accelerator and threads decided for this machine, and the origins of what was decided."""
    values: dict[str, object] = {}
    if config.trainer.accelerator == "auto":
        values["trainer.accelerator"] = accelerator()
    if config.trainer.threads is None:
        values["trainer.threads"] = max(1, cores() // (config.trainer.devices * workers))
    return with_values(config, values), dict.fromkeys(values, "this machine")


def check_devices(config: ExperimentConfig) -> None:
    """Raise UserError where this machine lacks the devices, or they the precision, that `config` asks for.

    `trainer.devices` counts a node's, so every node checks its own. On a CPU ranks are processes, as many as wanted.
    """
    trainer = config.trainer
    kind = accelerator() if trainer.accelerator == "auto" else trainer.accelerator
    if kind == "cuda" and "+rocm" not in torch_version():  # nothing here lists AMD's GPUs
        _check_cuda(trainer)
    elif kind == "mps":
        _check_mps(trainer)
    elif kind == "cpu" and trainer.precision == "16-mixed":
        raise UserError(  # Lightning would train in bf16 and not say so
            "trainer.precision: got 16-mixed on a CPU\n"
            "  allowed  32, bf16-mixed, bf16-true; 16-mixed needs a GPU\n"
            "  fix      set trainer.precision=bf16-mixed"
        )


def _check_cuda(trainer: TrainerConfig) -> None:
    gpus = usable_gpus()
    if trainer.devices > len(gpus):
        fixes = [f"trainer.devices={len(gpus)}"] if gpus else []
        raise UserError(
            f"trainer.devices: got {trainer.devices} with trainer.accelerator={trainer.accelerator}\n"
            f"  allowed  at most {len(gpus)}, the NVIDIA GPUs that this machine has{_why_fewer(len(gpus))}\n"
            f"  fix      set {' or '.join([*fixes, 'trainer.accelerator=cpu'])}"
        )
    if not trainer.precision.startswith("bf16"):
        return
    lacking = [gpu for gpu in gpus if gpu.capability and gpu.capability < BF16_CAPABILITY]
    if len(gpus) - len(lacking) < trainer.devices:  # CUDA takes the fastest first, which nvidia-smi's order is not
        raise UserError(
            f"trainer.precision: got {trainer.precision} on {', '.join(dict.fromkeys(map(str, lacking)))}\n"
            "  allowed  32, 16-mixed; bf16 needs compute capability 8.0 or higher\n"
            "  fix      set trainer.precision=16-mixed"
        )


def _check_mps(trainer: TrainerConfig) -> None:
    if not has_mps():
        raise UserError(
            f"trainer.accelerator: got mps on {platform.system()} {platform.machine()}\n"
            f"  allowed  mps on Apple's arm64 machines; here {accelerator()}\n"
            f"  fix      set trainer.accelerator={accelerator()}"
        )
    if trainer.devices > 1:
        raise UserError(
            f"trainer.devices: got {trainer.devices} with trainer.accelerator={trainer.accelerator}\n"
            "  allowed  1: Apple's machines have one GPU, mps\n"
            "  fix      set trainer.devices=1 or trainer.accelerator=cpu"
        )
    macos = platform.mac_ver()[0]
    if trainer.precision.startswith("bf16") and int(macos.partition(".")[0]) < BF16_MACOS:
        raise UserError(
            f"trainer.precision: got {trainer.precision} on mps under macOS {macos}\n"
            f"  allowed  32, 16-mixed; bf16 needs macOS {BF16_MACOS} or higher\n"
            "  fix      set trainer.precision=16-mixed"
        )


def _why_fewer(count: int) -> str:
    if "+cpu" in torch_version():
        return f" for torch {torch_version()}, a build without CUDA"
    listed = listed_gpus()
    if listed is None:
        return " (nvidia-smi lists none)"
    if len(listed) > count:
        return f" ({VISIBLE}={os.environ.get(VISIBLE, '')} hides {len(listed) - count} more)"
    return ""
