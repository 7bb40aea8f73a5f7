"""`evaluate`: a run's metrics on a whole split."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from rich.console import Console
from rich.progress import track

from lit_transformer.inference.load import find_device, load_weights, open_run, run_config
from lit_transformer.records.atomic import read_json
from lit_transformer.records.predictions import Prediction, write_predictions
from lit_transformer.tasks.text_metrics import signatures
from lit_transformer.training.registry import build_parts, open_prepared

Split = Literal["test", "val"]


def evaluate(path: Path, split: Split, *, device: str = "cpu") -> dict[str, float]:
    """Metrics of the best checkpoint over the whole split, by full name, computed on a device that `find_device` knows.

    What was predicted of each row is saved into the run's folder, where a task predicts rows: see
    `records.predictions`. Raises UserError.
    """
    run, place = open_run(path), find_device(device)
    config = run_config(run)
    parts = build_parts(config, open_prepared(config, read_json(run.prepared_file)))
    task = load_weights(parts.task, run).to(place)
    loaders = parts.data.test_dataloader() if split == "test" else parts.data.val_dataloader()
    shown = Console(stderr=True)
    kept: list[Prediction] = []
    with torch.inference_mode():
        for probe, loader in enumerate(loaders if isinstance(loaders, list) else [loaders]):
            plans = iter(loader.sampler)  # of a split; which rows they take is the same each time
            for batch in track(loader, f"{split} split", console=shown, transient=True, disable=not shown.is_terminal):
                task.told = None if probe else _keeper(kept, next(plans).rows.tolist())
                task.evaluate({name: value.to(place) for name, value in batch.items()}, split, probe=probe > 0)
    if kept:
        _save(run.path, split, kept)
    return {f"{split}/{name}": value for name, value in task.metrics(task.evaluation.take(), split).items()}


def _keeper(kept: list[Prediction], rows: list[int]) -> Callable[[list[int], list[Prediction]], None]:
    """What keeps the predictions of a batch that has these rows of the split."""

    def keep(places: list[int], predictions: list[Prediction]) -> None:
        kept.extend({"row": rows[at], **found} for at, found in zip(places, predictions, strict=True))

    return keep


def _save(run: Path, split: str, kept: list[Prediction]) -> None:
    try:
        print(f"wrote {write_predictions(run, split, kept)}", file=sys.stderr)
    except OSError as error:  # another's run, which may be read alone, still has its metrics
        print(f"predictions could not be saved in {run}: {error}", file=sys.stderr)


def signatures_of(metrics: Mapping[str, float]) -> dict[str, str]:
    """sacrebleu's signature of each metric that has one, by full name: what makes two numbers comparable."""
    known = signatures()
    found = {name: known.get(name.rpartition("/")[2]) for name in metrics}
    return {name: signature for name, signature in found.items() if signature is not None}
