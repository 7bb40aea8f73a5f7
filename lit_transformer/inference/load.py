"""A trained run, ready to be used."""

import os
from pathlib import Path
from typing import Any

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import load_layers
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.processes.hardware import accelerator
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.tasks.base import Task
from lit_transformer.training.checkpoints import read_checkpoint
from lit_transformer.training.registry import TASKS
from lit_transformer.training.resume import frozen_layer, tell


def open_run(path: str | os.PathLike[str]) -> RunFolder:
    """The run in a folder; raises UserError where there is none."""
    run = RunFolder(Path(path))
    if not run.path.is_dir():
        raise UserError(f"There is no folder {path}.\n  fix      give a run's folder, such as runs/gpt_tiny/<run-id>")
    if not run.exists():
        raise UserError(
            f"{path} is no run's folder: it holds no config.yaml.\n"
            "  fix      give a run's folder, such as runs/gpt_tiny/<run-id> or a cell of a sweep"
        )
    return run


def find_device(name: str) -> torch.device:
    """The device called `auto` (that of trainer.accelerator=auto), cpu, cuda, cuda:N or mps.

    Raises UserError where this machine has no such device.
    """
    wanted = accelerator() if name == "auto" else name
    here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    here += ["mps"] if torch.backends.mps.is_available() else []
    if wanted in here or f"{wanted}:0" in here:
        return torch.device(wanted)
    raise UserError(
        f"--device\n  got      {name}{f', here {wanted}' if name != wanted else ''}\n"
        f"  allowed  auto, or what this machine has for torch {torch.__version__}: {', '.join(here)}\n"
        "  fix      --device cpu works everywhere"
    )


def best_checkpoint(run: RunFolder) -> dict[str, Any]:
    """The run's best checkpoint, else the newest good one, with a message; raises UserError where there is none."""
    folder = CheckpointFolder(run.checkpoints)
    found = folder.best(tell)
    if found is None:
        raise UserError(
            f"{run.path} has no good checkpoint (its status is {run.status()})\n"
            f"  fix      train it first: lit-transformer fit --resume {run.path}"
        )
    return read_checkpoint(found.path, folder)


def run_config(run: RunFolder) -> ExperimentConfig:
    """The configuration that the run was trained with; raises UserError where its file is damaged."""
    return load_layers([frozen_layer(run)]).config


def load_task(path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Task:
    """The trained task of a run's folder, in evaluation mode; called with ids it gives logits at every position.

    ids (batch, time) -> (batch, time, vocab_size); an encoder-decoder takes source ids and, unshifted, decoder ids; a
    classifier gives (batch, classes). A GPT of the objective prefix_lm also takes prefix_length (batch), the tokens
    that see one another, without which each sees those before it alone. Raises UserError where the folder is no run, or
    its checkpoint is missing or damaged.
    """
    run = open_run(path)
    config = run_config(run)
    return load_weights(TASKS[config.task](config), run).to(device)


def load_weights(task: Task, run: RunFolder) -> Task:
    """The task with the weights of a run's best checkpoint, in evaluation mode; raises UserError."""
    checkpoint = best_checkpoint(run)
    try:
        task.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise UserError(f"The checkpoint of {run.path} does not fit its config.yaml: {error}") from None
    return task.eval()
