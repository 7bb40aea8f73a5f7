"""One network's training step beside its peer's, or the machine's ceilings: a child of gpu.py, in a process of its own.

It prints a line of JSON for each thing that it knows, and times only while it has the turn, which gpu.py gives.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from gpu_cases import CASES, Batch, Case, Loss
from gpu_lines import end_with_parent, reason, say, turn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lit_transformer.config.schema import OptimizerConfig
from lit_transformer.optim import build_optimizer
from lit_transformer.training.measure import copy_bandwidth, peak_flops


@dataclass(frozen=True)
class Timing:
    """How long is measured."""

    pairs: int = 5
    seconds: float = 0.5
    """What one side of a pair takes at least."""
    backend: str = "inductor"
    """What compiles."""


def wait(device: torch.device) -> None:
    """Until the device has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def eager_flops(build: Callable[[], tuple[nn.Module, Loss]], batch: Batch, device: torch.device) -> int:
    """FLOPs of a peer's step, uncompiled; our own operators hide theirs, which Case.flops counts."""
    network, loss = build()
    network.to(device)
    with FlopCounterMode(display=False) as counter, torch.autocast(device.type, torch.bfloat16):
        loss(batch).backward()
    return counter.get_total_flops()


class Side:
    """A network, compiled, with its optimizer: `step` trains it once and waits for nothing."""

    def __init__(
        self, build: Callable[[], tuple[nn.Module, Loss]], batch: Batch, device: torch.device, backend: str
    ) -> None:
        self._device, self._batch = device, batch
        self._before = allocated(device)
        torch.manual_seed(0)
        network, loss = build()
        network.to(device)
        if any(weight.ndim == 4 for weight in network.parameters()):
            network.to(memory_format=torch.channels_last)
        self._optimizer = build_optimizer(network.named_parameters(), OptimizerConfig(lr=1e-5))
        self._loss = torch.compile(loss, backend=backend)
        start = time.perf_counter()
        self.first_loss = float(self.step())
        wait(device)
        self.compile_seconds = time.perf_counter() - start
        for _ in range(2):  # the second may compile again, and the allocator has grown after the third
            self.step()
        wait(device)

    def step(self) -> torch.Tensor:
        """Forward, loss, backward, fused AdamW, gradients to None; the loss, not yet waited for."""
        with torch.autocast(self._device.type, torch.bfloat16):
            value = self._loss(self._batch)
        value.backward()
        self._optimizer.step()
        self._optimizer.zero_grad()
        return value.detach()

    def steps_in(self, seconds: float) -> int:
        """How many steps take so long."""
        return max(1, min(200, round(seconds / self.seconds(2))))

    def seconds(self, steps: int) -> float:
        """Of one of so many steps."""
        wait(self._device)
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        wait(self._device)
        return (time.perf_counter() - start) / steps

    def peak_bytes(self) -> int | None:
        """The most that a step holds of the device, weights and optimizer included; None on a CPU."""
        if self._device.type != "cuda":
            return None
        torch.cuda.reset_peak_memory_stats(self._device)
        self.seconds(2)
        return torch.cuda.max_memory_allocated(self._device) - self._before


def allocated(device: torch.device) -> int:
    """Bytes of the device that tensors take."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch on the device, images with their channels last."""
    there = {name: value.to(device) for name, value in batch.items()}
    return {
        name: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
        for name, value in there.items()
    }


def measure(name: str, case: Case, device: torch.device, timing: Timing) -> None:
    """Tell ours as soon as it is timed, and then both, by turns; without their peer's, why."""
    batch = to_device(case.batch, device)
    flops = case.flops()
    ours = Side(case.ours, batch, device, timing.backend)
    with turn():
        steps = ours.steps_in(timing.seconds)
        row = {"unit": case.unit, "dropout": case.dropout, "units_per_step": case.units, "flops_per_step": flops,
               **figures(case, flops, statistics.median(ours.seconds(steps) for _ in range(3)), device),
               "compile_seconds": round(ours.compile_seconds, 1), "peak_bytes": ours.peak_bytes()}  # fmt: skip
    say(row=row, name=name)
    try:
        their_flops = eager_flops(case.theirs, batch, device)
        theirs = Side(case.theirs, batch, device, timing.backend)
    except Exception as error:
        say(row={**row, "peer": f"{case.peer}: not measured, {reason(error)}"}, name=name)
        if is_memory(error):
            raise  # again, with the device to itself
        return
    with turn():
        row |= {"peer": case.peer, "first_losses": [ours.first_loss, theirs.first_loss],
                "their_flops_per_step": their_flops, "their_compile_seconds": round(theirs.compile_seconds, 1),
                "their_peak_bytes": theirs.peak_bytes()}  # fmt: skip
        row |= by_turns(case, flops, ours, theirs, device, timing)
    say(row=row, name=name)


def figures(case: Case, flops: int, seconds: float, device: torch.device) -> dict[str, float | None]:
    """Of steps that take so long: units/s, FLOP/s, and MFU where the device's peak is known."""
    peak = peak_flops(device, "bf16-mixed", 1, Path()) if device.type == "cuda" else None
    return {"ours": case.units / seconds, "flops_per_second": flops / seconds,
            "mfu": flops / seconds / peak if peak else None}  # fmt: skip


def by_turns(
    case: Case, flops: int, ours: Side, theirs: Side, device: torch.device, timing: Timing
) -> dict[str, object]:
    """Medians of both over pairs, and that of the pairs' ratios; the order changes from pair to pair."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    both = {"ours": ours, "theirs": theirs}
    steps = {name: side.steps_in(timing.seconds) for name, side in both.items()}
    for pair in range(timing.pairs):
        for name in list(both)[:: 1 if pair % 2 else -1]:
            seconds[name].append(both[name].seconds(steps[name]))
    ratios = [its / mine for mine, its in zip(seconds["ours"], seconds["theirs"], strict=True)]
    return {**figures(case, flops, statistics.median(seconds["ours"]), device),
            "theirs": case.units / statistics.median(seconds["theirs"]), "ratio": statistics.median(ratios),
            "spread": [min(ratios), max(ratios)]}  # fmt: skip


def ceilings(device: torch.device, tiny: bool) -> None:
    """What the device reaches at its best, not what its maker says: FLOP/s of a bf16 product, bytes/s of a copy."""
    size, repeats = (256, 3) if tiny else (8192, 30)
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    with turn():
        for _ in range(4):  # the first one warms up; a block of products hides what launching costs
            wait(device)
            start = time.perf_counter()
            for _ in range(repeats):
                left @ right
            wait(device)
            seconds.append((time.perf_counter() - start) / repeats)
        copied = copy_bandwidth(2**20 if tiny else 2**30, device=device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    say(row={"matmul_flops_per_second": 2 * size**3 / min(seconds[1:]), "copy_bytes_per_second": copied,
             "peak_flops_per_second": peak_flops(device, "bf16-mixed", 1, Path()) if gpu else None},
        name="ceilings", machine={"gpu": gpu, "torch": torch.__version__, "cuda": torch.version.cuda})  # fmt: skip


def main() -> None:
    """Measure the case that is named; a failure is told in words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["ceilings", *CASES])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    end_with_parent()
    device = torch.device(options.device)
    try:
        if options.name == "ceilings":
            ceilings(device, options.tiny)
        else:
            timing = Timing(pairs=2, seconds=0.01, backend="aot_eager") if options.tiny else Timing()
            measure(options.name, CASES[options.name](options.tiny), device, timing)
    except Exception as error:
        say(failed=reason(error), memory=is_memory(error), name=options.name)
        raise


def is_memory(error: Exception) -> bool:
    """Whether the device had no room, also where the compiler says so, or takes one process at a time."""
    words = ("out of memory", "busy or unavailable")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


if __name__ == "__main__":
    main()
