"""Memory of a process and the peak arithmetic rate of its device."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from lit_transformer.processes.hardware import processor
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

CPU = torch.device("cpu")


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
    name = "".join(letter if letter.isalnum() else "_" for letter in processor())  # fit for a file's name
    path = cache / f"peak-{name}-{threads}-{'float32' if precision == '32' else 'bfloat16'}.json"
    try:
        return float(json.loads(path.read_text())["flops_per_second"])
    except (OSError, ValueError, KeyError, TypeError):
        peak = matmul_flops(torch.float32 if precision == "32" else torch.bfloat16)
        write_json(path, {"flops_per_second": peak})
        return peak


def matmul_flops(dtype: torch.dtype, size: int = 1024, repeats: int = 5, device: torch.device = CPU) -> float:
    """FLOP/s of the fastest of `repeats` square matrix products; on a CPU on this process's threads."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: left @ right, repeats, device)


def copy_bandwidth(size: int = 2**28, repeats: int = 5, device: torch.device = CPU) -> float:
    """Bytes/s that the fastest of `repeats` copies of `size` bytes reads and writes, which counts each byte twice."""
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * size / _fastest(lambda: target.copy_(source), repeats, device)


def _fastest(act: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds of the fastest of `repeats` calls, waiting for the device."""
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type, lambda: None)
    best = float("inf")
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        act()
        wait()
        best = min(best, time.perf_counter() - start)
    return best
