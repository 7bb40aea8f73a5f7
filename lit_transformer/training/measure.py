"""Memory of a process and the peak arithmetic rate of its device."""

import json
import os
import time
from pathlib import Path

import psutil
import torch

from lit_transformer.records.atomic import write_json

# Dense peak FLOP/s of one GPU by precision, from the makers' data sheets; 32 is plain float32, since torch leaves TF32
# off by default.
GPU_PEAKS: dict[str, dict[str, float]] = {
    "H200": {"bf16": 989e12, "32": 67e12},
    "H100 PCIe": {"bf16": 756e12, "32": 51e12},
    "H100": {"bf16": 989e12, "32": 67e12},
    "B200": {"bf16": 2250e12, "32": 80e12},
    "A100": {"bf16": 312e12, "32": 19.5e12},
    "L40S": {"bf16": 362e12, "32": 91.6e12},
    "L4": {"bf16": 121e12, "32": 30.3e12},
    "A10G": {"bf16": 70e12, "32": 31.2e12},
    "V100": {"bf16": 125e12, "32": 15.7e12},
    "T4": {"bf16": 65e12, "32": 8.1e12},
    "RTX 4090": {"bf16": 165e12, "32": 82.6e12},
    "RTX 3090": {"bf16": 71e12, "32": 35.6e12},
}


def memory_bytes(device: torch.device) -> int:
    """Peak bytes allocated on a GPU; on a CPU the bytes that the process holds now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def peak_memory_bytes(device: torch.device) -> int:
    """Peak bytes allocated on a GPU; on a CPU the most that the process ever held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_flops(device: torch.device, precision: str, threads: int, cache: Path) -> float | None:
    """Peak FLOP/s of one device: from the table for a known GPU, measured on a CPU (once, kept in `cache`)."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        kind = "32" if precision == "32" else "bf16"
        return next((peaks[kind] for known, peaks in GPU_PEAKS.items() if known in name), None)
    if device.type != "cpu":
        return None
    path = cache / f"peak-{processor()}-{threads}-{'float32' if precision == '32' else 'bfloat16'}.json"
    try:
        return float(json.loads(path.read_text())["flops_per_second"])
    except (OSError, ValueError, KeyError, TypeError):
        peak = matmul_flops(torch.float32 if precision == "32" else torch.bfloat16)
        write_json(path, {"flops_per_second": peak})
        return peak


def matmul_flops(dtype: torch.dtype, size: int = 1024, repeats: int = 5) -> float:
    """FLOP/s of the fastest of `repeats` square matrix products on this process's threads."""
    left, right = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def processor() -> str:
    """A short name of the processor, fit for a file name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = os.uname().machine
    return "".join(letter if letter.isalnum() else "_" for letter in name)
