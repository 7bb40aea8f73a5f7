"""The NVIDIA GPUs of this machine, found without importing torch."""

import os
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU; empty or None: not known."""

    id: str
    """As CUDA_VISIBLE_DEVICES names it."""
    name: str = ""
    uuid: str = ""
    capability: tuple[int, int] | None = None
    memory: int | None = None
    """Bytes."""
    driver: str = ""

    def __str__(self) -> str:
        shown = self.name or f"GPU {self.id}"
        return f"{shown} (compute capability {self.capability[0]}.{self.capability[1]})" if self.capability else shown


def listed_gpus() -> tuple[Gpu, ...] | None:
    """Every NVIDIA GPU of this machine, hidden or not; None where nothing says."""
    return _nvidia_smi(os.environ.get("PATH"))


def visible_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves."""
    listed, variable = listed_gpus(), os.environ.get(VISIBLE)
    if variable is None:
        return listed or ()
    found: list[Gpu] = []
    for name in map(str.strip, variable.split(",")):
        gpu = _named(name, listed)
        if gpu is None:
            break  # CUDA ignores what comes after the first id that is not there
        found.append(gpu)
    return tuple(found)


def torch_version() -> str:
    """The installed torch's version, such as 2.14.1+cpu; empty without torch."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def _named(name: str, listed: tuple[Gpu, ...] | None) -> Gpu | None:
    """The GPU that CUDA_VISIBLE_DEVICES calls `name`: an index, the start of a UUID, or a MIG slice's UUID."""
    if name in ("", "-1"):
        return None
    if listed is None or name.startswith("MIG-"):
        return Gpu(id=name)
    if name.isdigit():
        return replace(listed[int(name)], id=name) if int(name) < len(listed) else None
    return next((replace(gpu, id=name) for gpu in listed if gpu.uuid.startswith(name)), None)


@cache
def _nvidia_smi(path: str | None) -> tuple[Gpu, ...] | None:
    """What nvidia-smi lists under a PATH (a key of the cache alone); drivers before 2021 know no compute_cap."""
    for capability in ("compute_cap,", ""):
        query = f"--query-gpu=index,uuid,memory.total,driver_version,{capability}name"
        command = ["nvidia-smi", query, "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return from_kernel()
        if done.returncode == 0:
            return tuple(_gpu(line, bool(capability)) for line in done.stdout.splitlines() if line.count(",") > 3)
    return None


def _gpu(line: str, with_capability: bool) -> Gpu:
    index, uuid, mebibytes, driver, rest = (part.strip() for part in line.split(",", 4))
    major, minor = "", ""
    if with_capability:
        found, _, rest = rest.partition(",")
        major, _, minor = found.strip().partition(".")
    return Gpu(
        id=index,
        name=rest.strip(),
        uuid=uuid,
        capability=(int(major), int(minor)) if major.isdigit() and minor.isdigit() else None,
        memory=int(mebibytes) * 2**20 if mebibytes.isdigit() else None,
        driver=driver,
    )


def from_kernel(folder: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[Gpu, ...] | None:
    """What the NVIDIA driver lists where nvidia-smi is absent, as in containers given compute alone."""
    if not folder.is_dir():
        return None
    found = []
    for index, file in enumerate(sorted(folder.glob("*/information"))):
        fields = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        uuid = fields.get("GPU UUID", "").strip()
        found.append(Gpu(id=str(index), name=fields.get("Model", "").strip(), uuid=uuid))
    return tuple(found)
