"""`evaluate`: a run's metrics on a whole split."""

from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import track

from lit_transformer.inference.load import load_task, open_run, run_config
from lit_transformer.records.atomic import read_json
from lit_transformer.training.registry import build_parts, open_prepared

Split = Literal["test", "val"]


@torch.inference_mode()
def evaluate(path: Path, split: Split) -> dict[str, float]:
    """Metrics of the best checkpoint over the whole split, by full name; raises UserError."""
    run = open_run(path)
    task = load_task(path)
    config = run_config(run)
    data = build_parts(config, open_prepared(config, read_json(run.prepared_file))).data
    loader = data.test_dataloader() if split == "test" else data.val_dataloader()
    shown = Console(stderr=True)
    for batch in track(loader, f"{split} split", console=shown, transient=True, disable=not shown.is_terminal):
        task.evaluation.add(task.evaluation_sums(batch))
    return {f"{split}/{name}": value for name, value in task.metrics(task.evaluation.take(), split).items()}
