"""Reading a checkpoint of ours: checked against its folder's manifest, then loaded as data alone."""

from pathlib import Path
from typing import Any

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.records.checkpoints import MANIFEST, CheckpointFolder


def read_checkpoint(path: Path, folder: CheckpointFolder | None = None) -> dict[str, Any]:
    """A checkpoint's tensors and plain values on the CPU, its SHA-256 compared with its folder's manifest first.

    `folder` is one that has just found the file, and need not hash it again. Raises UserError where the file is
    missing, damaged, cut, or not written by a run of this project.
    """
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}.\n  fix      train the run first")
    if not (folder or CheckpointFolder(path.parent)).holds(path):
        raise UserError(
            f"{path} is damaged or foreign: its size and SHA-256 are not those of any checkpoint that the run saved "
            f"({path.parent / MANIFEST}).\n"
            "  fix      take it away; `fit --resume` goes on from the newest good one"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises EOFError, RuntimeError, UnpicklingError ... for what it cannot read
        raise UserError(f"The checkpoint {path} cannot be read ({type(error).__name__}: {error}).") from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise UserError(f"{path} is no checkpoint of this project: it holds no state_dict.")
    return checkpoint
