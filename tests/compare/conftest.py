"""Run and sweep folders made with records' own functions, without any training."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder

HOSTILE = '<img src=x onerror="alert(1)"></script><b>bold</b><a href="javascript:alert(2)">a</a>%{x}$title'


def loss_at(heads: int, layers: int, seed: int, step: int) -> float:
    """A loss that falls with the steps, and lies lower with more layers and 2 heads; no two cells share one."""
    floor = 2.2 + 0.3 / layers + 0.05 * abs(heads - 2) + 0.004 * seed
    wave = 0.05 * math.sin(step * (1 + heads) + layers + seed)
    return floor + 2.0 * math.exp(-step / 150) + wave * math.exp(-step / 800)


def write_run(
    folder: Path,
    *,
    heads: int = 2,
    layers: int = 2,
    seed: int = 0,
    status: str | None = "complete",
    steps: int = 400,
    error: str | None = None,
    **extra: object,
) -> RunFolder:
    """A run's folder; `status` None leaves it without a result, as while it runs."""
    run = RunFolder(folder)
    config: dict[str, object] = {
        "experiment": "gpt_tiny",
        "model": {"kind": "gpt", "num_heads": heads, "num_layers": layers, "d_model": 64, "num_kv_heads": None},
        "optimizer": {"lr": 1e-3},
        "seed": seed,
        **extra,
    }
    run.freeze(config, {"model.num_heads": "cell", "optimizer.lr": "default"}, {})
    rows: list[dict[str, object]] = []
    for step in range(10, steps + 1, 10):
        rows.append({"step": step, "train/loss": loss_at(heads, layers, seed, step), "lr": 1e-3})
        if step % 100 == 0:
            rows[-1]["val/loss"] = round(loss_at(heads, layers, seed, step) + 0.1, 6)
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.system_file.write_text(
        json.dumps({"step": steps, "seconds": 9.5, "tokens_per_second": 1000.0, "memory_bytes": 5})
    )
    if status is not None:
        loss = rows[-1]["val/loss"] if status == "complete" else None
        parameters = 10_000 + 50_000 * layers
        result = {
            "version": 1, "status": status, "metrics": {"val/loss": loss, "val/accuracy": 0.3 + 0.01 * layers},
            "best_step": steps, "last_metrics": {"val/loss": loss}, "parameters": parameters,
            "flops_per_token": 6 * parameters, "flops": 6.0 * parameters * steps * 2048, "tokens": steps * 2048,
            "steps": steps, "seconds": 12.0 + layers, "tokens_per_second": 60_000 / layers,
            "peak_memory_bytes": 400_000_000, "error": error, "versions": {},
        }  # fmt: skip
        write_json(run.result_file, result)
    return run


def write_plan(folder: Path, swept: dict[str, list[object]], cells: list[dict[str, object]], **extra: object) -> None:
    """The two files that make a sweep's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    SweepFolder(folder).sweep_file.write_text("method: grid\n")
    plan = {"version": 1, "name": folder.name, "metric": {"name": "val/loss", "goal": "minimize"}, "swept": [*swept]}
    write_json(SweepFolder(folder).plan_file, {**plan, "cells": cells, **extra})


def write_sweep(
    folder: Path,
    heads: list[int],
    layers: list[int],
    seeds: list[int],
    special: dict[tuple[int, int, int], str] | None = None,
) -> Path:
    """A grid over heads, layers and seeds; `special` gives a cell another state than complete."""
    cells: list[dict[str, object]] = []
    for h in heads:
        for n in layers:
            for s in seeds:
                state = (special or {}).get((h, n, s), "complete")
                values: dict[str, object] = {"model.num_heads": h, "model.num_layers": n}
                values |= {"seed": s} if len(seeds) > 1 else {}
                name = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in values.items())
                problem = f"model.d_model 64 is not divisible by {h}" if state == "impossible" else None
                cells.append({"cell": name, "values": values, "problem": problem})
                if state in ("missing", "impossible"):
                    continue
                status = None if state == "running" else state
                steps = 200 if state == "running" else 400
                error = {"failed": "RuntimeError: " + HOSTILE, "diverged": "loss is NaN"}.get(state)
                write_run(folder / "cells" / name, heads=h, layers=n, seed=s, status=status, steps=steps, error=error)
    swept: dict[str, list[object]] = {"model.num_heads": [*heads], "model.num_layers": [*layers]}
    write_plan(folder, swept | ({"seed": [*seeds]} if len(seeds) > 1 else {}), cells)
    return folder


@pytest.fixture
def run_writer() -> Callable[..., RunFolder]:
    return write_run


@pytest.fixture
def plan_writer() -> Callable[..., None]:
    return write_plan


@pytest.fixture
def sweep_writer() -> Callable[..., Path]:
    return write_sweep


@pytest.fixture
def hostile() -> str:
    return HOSTILE


@pytest.fixture
def nine(tmp_path: Path) -> Path:
    """The demo's sweep: heads 1, 2, 4 x layers 1, 2, 4, one seed, all complete."""
    return write_sweep(tmp_path / "demo", [1, 2, 4], [1, 2, 4], [0])


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A sweep with one cell of each state."""
    special = {(1, 1, 0): "failed", (2, 1, 0): "diverged", (3, 1, 0): "impossible", (4, 1, 0): "missing"}
    return write_sweep(tmp_path / "mixed", [1, 2, 3, 4], [1, 2], [0], special | {(1, 2, 0): "running"})


@pytest.fixture
def seeded(tmp_path: Path) -> Path:
    """Two cells with two seeds each."""
    return write_sweep(tmp_path / "seeded", [2, 4], [2], [0, 1])


@pytest.fixture
def seeds_alone(tmp_path: Path) -> Path:
    """A sweep that varies nothing but three seeds."""
    folder = tmp_path / "runs" / "sweeps" / "seeds"
    names = {seed: f"seed={seed}" for seed in range(3)}
    for seed, name in names.items():
        write_run(folder / "cells" / name, heads=2, layers=1, seed=seed)
    cells = [{"cell": name, "values": {"seed": seed}, "problem": None} for seed, name in names.items()]
    write_plan(folder, {"seed": [*names]}, cells)
    return folder
