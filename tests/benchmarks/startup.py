"""How long a verb takes to answer, and a claimed cell to its first step."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure

CLI = [sys.executable, "-m", "lit_transformer.cli"]
ONE_STEP = ["trainer.max_steps=1", "tracking.log_every=1", "tracking.wandb=offline", "trainer.limit_val_batches=1"]


def seconds(*arguments: str, status: int) -> float:
    """Wall seconds of one call of the shell."""
    start = time.perf_counter()
    done = subprocess.run([*CLI, *arguments], capture_output=True, check=False)
    assert done.returncode == status, done.stderr
    return time.perf_counter() - start


def claim_to_step() -> list[float]:
    """Seconds from claiming a cell to the row of its first step, in one worker, the first (cold) cell left out."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = ["--seeds", "8", "--workers", "1", "--output", folder, "--name", "start"]
        sweep = Path(folder) / "start.yaml"
        sweep.write_text("method: grid\nparameters: {experiment: {value: gpt_tiny}, seed: {values: [0]}}\n")
        subprocess.run([*CLI, "sweep", "run", str(sweep), *seeds, *ONE_STEP], check=True, capture_output=True)
        root = Path(folder) / "sweeps" / "start"
        times = []
        for claim in root.glob("claims/*.1"):
            cell = claim.name.removesuffix(".1")
            first_step = (root / "cells" / cell / "system.jsonl").stat().st_mtime
            times.append(first_step - json.loads(claim.read_text())["time"])
    return sorted(times)[:-1]


def fresh_to_step() -> float:
    """Seconds from `fit` in the shell to the row of the first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        subprocess.run([*CLI, "fit", "gpt_tiny", *ONE_STEP, "--output", folder], check=True, capture_output=True)
        return next(Path(folder).glob("*/*/system.jsonl")).stat().st_mtime - start


def measure() -> list[Figure]:
    """Start-up figures."""
    for arguments, status in ((["--help"], 0), (["fit", "gpt_tiny", "model.num_heads=3"], 2)):
        seconds(*arguments, status=status)  # disk caches
    help_time = statistics.median(seconds("--help", status=0) for _ in range(5))
    rejected = statistics.median(seconds("fit", "gpt_tiny", "model.num_heads=3", status=2) for _ in range(5))
    warm = claim_to_step()
    return [
        Figure("--help", help_time, "s", 0.8, note="median of 5"),
        Figure("a rejected config", rejected, "s", 0.8, note="median of 5"),
        Figure(
            "claim to first step, warm worker",
            statistics.median(warm),
            "s",
            0.5,
            note=f"worst of {len(warm)}: {warm[-1]:.2f}",
        ),
        Figure("`fit` to first step, fresh process", fresh_to_step(), "s"),
    ]


if __name__ == "__main__":
    for found in measure():
        print(found)
