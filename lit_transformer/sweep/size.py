"""How large a sweep's cells are: parameters, FLOPs, memory and time. The one module of `sweep` that imports torch.

`python -m lit_transformer.sweep.size REQUEST.json ANSWER.json`. Request: {"cells": [{"cell", "config", "tokens":
{split: n}}], "rate": FLOP/s of finished cells or null, "threads"}. Answer: {"cells": {id: {"parameters",
"flops_per_token", "memory_bytes", "seconds"}}, "flops_per_second", "measured"}.
"""

import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lit_transformer.config.schema import MODEL_CONFIGS, ObjectiveConfig
from lit_transformer.models.flops import TrainingCost, training_cost
from lit_transformer.records.atomic import write_json

EFFICIENCY = {"cpu": 0.5, "cuda": 0.35, "mps": 0.3}
"""Share of the peak of a large matrix product that small networks reach; the estimate says so."""
LIBRARY_BYTES = {"cpu": 550 * 2**20, "cuda": 500 * 2**20, "mps": 550 * 2**20}
"""What a rank holds before its first tensor: torch and Lightning, or a CUDA context."""
STEP_SECONDS = 0.0015
"""What a step costs beside its arithmetic."""
START_SECONDS = 1.0
STATE_BYTES = {"adamw": 16, "adam": 16, "sgd": 12}
"""Bytes for each parameter: weight, gradient and the optimizer's moments, all float32."""


@dataclass(frozen=True)
class Run:
    """The numbers of a configuration that its size depends on."""

    steps: int
    rows: int
    """Sequences in the micro-batch of one rank."""
    tokens_per_step: int
    validation_tokens: int
    """Over all validations."""
    devices: int


def main(request: str, answer: str) -> int:
    """Entry point of the child; see the module."""
    asked = json.loads(Path(request).read_text(encoding="utf-8"))
    torch.set_num_threads(int(asked["threads"]))
    first = asked["cells"][0]["config"]["trainer"]
    kind = str(first["accelerator"])
    rate, measured = asked["rate"], True
    if rate is None:
        measured = False
        if kind != "cuda" or torch.cuda.is_available():  # else it is to run on other machines
            rate = peak_flops(kind, str(first["precision"])) * EFFICIENCY.get(kind, 0.3)
    cells = {item["cell"]: size(item["config"], item["tokens"], rate, rows=item.get("rows")) for item in asked["cells"]}
    write_json(Path(answer), {"cells": cells, "flops_per_second": rate, "measured": measured})
    return 0


def size(
    config: Mapping[str, Any], tokens: Mapping[str, int], rate: float | None, *, rows: Mapping[str, int] | None = None
) -> dict[str, object]:
    """One cell's numbers; `rate` is FLOP/s, and without it there are no seconds.

    tokens (or pixels) and, where data are rows or images, `rows` count those of each split.
    """
    model = MODEL_CONFIGS[config["model"]["kind"]](**config["model"])
    cost = training_cost(model, config["task"], ObjectiveConfig(**config["objective"]))
    length = tokens.get("train", 0) // max(rows["train"], 1) if rows else int(config["model"]["context_length"])
    run = _run(config, tokens, max(length, 1))
    return {
        "parameters": cost.parameters,
        "flops_per_token": cost.flops_per_token,
        "memory_bytes": _memory(cost, config, run),
        **({} if rate is None else {"seconds": _seconds(cost, run, rate)}),
    }


def peak_flops(kind: str, precision: str) -> float:
    """FLOP/s of a large matrix product on this machine, with this process's threads."""
    device = torch.device(kind if kind in ("cuda", "mps") else "cpu")
    dtype = torch.float32 if precision == "32" else torch.bfloat16
    side = 1024 if device.type == "cpu" else 4096
    left = torch.randn(side, side, device=device).to(dtype)
    best = math.inf
    for _ in range(6):
        start = time.perf_counter()
        (left @ left).sum().item()  # item waits for the device
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def _run(config: Mapping[str, Any], tokens: Mapping[str, int], length: int) -> Run:
    trainer = config["trainer"]
    batch = int(config["data"]["batch_size"])
    if config["data"].get("max_tokens"):
        batch = max(1, int(config["data"]["max_tokens"]) // length)
    epoch = max(1, tokens.get("train", 0) // length // batch)
    limit = trainer["limit_train_batches"]
    if limit is not None:
        epoch = max(1, int(limit * epoch) if isinstance(limit, float) else min(epoch, limit))
    limits = [trainer["max_steps"], trainer["max_epochs"] and trainer["max_epochs"] * epoch]
    steps = 1 if trainer["fast_dev_run"] else min((int(limit) for limit in limits if limit), default=epoch)
    validation = tokens.get("val", 0)
    if trainer["limit_val_batches"] is not None:
        share = trainer["limit_val_batches"]
        validation = int(validation * share) if isinstance(share, float) else min(validation, share * batch * length)
    ranks = int(trainer["devices"]) * int(trainer["num_nodes"])
    rows = math.ceil(batch / (ranks * int(trainer["accumulate"])))
    times = math.ceil(steps / int(trainer["val_every"]))
    return Run(steps, rows, batch * length, validation * times, ranks)


def _memory(cost: TrainingCost, config: Mapping[str, Any], run: Run) -> int:
    """Bytes of all ranks of this machine together."""
    trainer = config["trainer"]
    state = STATE_BYTES[config["optimizer"]["name"]] * cost.parameters
    share = 1.0 if trainer["precision"] == "32" else 0.6
    logits = (
        4 * run.tokens_per_step // (run.devices * int(trainer["accumulate"])) * (config["model"].get("vocab_size") or 0)
    )
    rank = LIBRARY_BYTES.get(trainer["accelerator"], 0) + state + int(share * cost.activation_bytes * run.rows) + logits
    return rank * int(trainer["devices"])


def _seconds(cost: TrainingCost, run: Run, rate: float) -> float:
    """Training, and validation at a third of its cost: the forward pass alone."""
    work = cost.flops_per_token * (run.steps * run.tokens_per_step + run.validation_tokens / 3)
    return START_SECONDS + run.steps * STEP_SECONDS + work / (rate * run.devices)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
