"""Sweeps on disk: trained a little, or with results that follow a planted law."""

import json
import shutil
from itertools import product
from pathlib import Path

from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RunFolder
from tests.inference.runs import HERE, make_run

SHAPE = [*HERE, "model.num_layers=2", "model.d_model=16"]


def write_plan(folder: Path, cells: dict[str, dict[str, object]]) -> None:
    """plan.json of these cells, by name; every setting in them is swept."""
    swept = {key: sorted({cell[key] for cell in cells.values()}) for key in next(iter(cells.values()))}
    listed = [{"cell": name, "values": values, "problem": None} for name, values in cells.items()]
    write_json(
        folder / "plan.json",
        {"name": "small", "metric": {"name": "val/loss", "goal": "minimize"}, "swept": swept, "cells": listed},
    )


def result(**changes: object) -> dict[str, object]:
    found = {"version": 1, "status": "complete", "metrics": {"val/loss": 2.0}, "parameters": 10_000, "tokens": 1000}
    return {**found, **changes}


def heads_sweep(folder: Path, settings: list[str], heads: tuple[int, ...], seeds: tuple[int, ...]) -> Path:
    """A sweep over heads and seeds, each cell trained for a few steps."""
    cells: dict[str, dict[str, object]] = {}
    for number, seed in product(heads, seeds):
        cells[f"h{number}s{seed}"] = {"model.num_heads": number, **({"seed": seed} if len(seeds) > 1 else {})}
        made = [*settings, f"model.num_heads={number}", f"seed={seed}"]
        run = make_run(folder / "cells" / f"h{number}s{seed}", made, steps=20, shape=SHAPE)
        write_json(RunFolder(run).result_file, result())
    write_plan(folder, cells)
    return folder


def law_sweep(folder: Path, sizes: list[tuple[float, float, float]], seeds: int = 1) -> Path:
    """Cells of (parameters, tokens, loss), with nothing but a config and a result."""
    cells: dict[str, dict[str, object]] = {}
    for (index, (parameters, tokens, loss)), seed in product(enumerate(sizes), range(seeds)):
        name = f"c{index}s{seed}"
        cells[name] = {"model.num_layers": index + 1, **({"seed": seed} if seeds > 1 else {})}
        run = RunFolder(folder / "cells" / name)
        model = {"kind": "gpt", "num_layers": index + 1, "num_heads": 2}
        run.freeze({"model": model, "seed": seed}, {}, {})
        spread = 0.01 * (seed - (seeds - 1) / 2)
        write_json(
            run.result_file,
            result(parameters=int(parameters), tokens=int(tokens), metrics={"val/loss": loss + spread}),
        )
    write_plan(folder, cells)
    return folder


def damaged_copy(run: Path, to: Path) -> Path:
    """The run without its checkpoints."""
    shutil.copytree(run, to)
    shutil.rmtree(to / "checkpoints")
    return to


def told(out: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(out)
    return found
