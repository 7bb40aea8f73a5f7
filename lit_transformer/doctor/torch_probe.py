"""Imports torch and torchvision, looks at the devices and measures them; `networks.py` runs it as a process."""

import warnings
from collections.abc import Callable
from functools import partial

from lit_transformer.doctor.probe import Answer, answer


def main() -> None:
    """Answer the steps torch, torchvision, speed cpu and speed of each GPU, in the order of what they need."""
    _step("torch", _torch)
    _step("torchvision", _torchvision)
    _step("speed cpu", partial(_speed, "cpu", size=1024))
    import torch

    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        _step(f"speed cuda:{index}", partial(_speed, f"cuda:{index}", size=8192))
    if torch.backends.mps.is_available():
        _step("speed mps", partial(_speed, "mps", size=4096))


def _step(name: str, act: Callable[[], Answer]) -> None:
    try:
        found = act()
    except Exception as error:  # whatever a broken installation raises is the answer
        found = {"error": f"{type(error).__name__}: {error}"}
    answer(name, found)


def _torch() -> Answer:
    import torch

    with warnings.catch_warnings(record=True) as said:  # why there is no CUDA, such as a driver that is too old
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "available": available,
        "devices": [
            torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count() if available else 0)
        ],
        "said": " ".join(str(warning.message) for warning in said),
        "mps": torch.backends.mps.is_available(),
    }


def _torchvision() -> Answer:
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)  # compiled: its build must fit torch's
    return {"version": torchvision.__version__, "kept": kept.tolist()}


def _speed(name: str, *, size: int) -> Answer:
    import torch

    from lit_transformer.processes.hardware import cores
    from lit_transformer.training.measure import copy_bandwidth, matmul_flops

    device = torch.device(name)
    if device.type == "cpu":
        torch.set_num_threads(cores())
    return {
        "float32": matmul_flops(torch.float32, size, device=device),
        "bfloat16": matmul_flops(torch.bfloat16, size, device=device),
        "copy": copy_bandwidth(device=device),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
