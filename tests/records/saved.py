"""Small checkpoints of known content, and what lies in their folder. Shared by the tests of the folder."""

import os
from pathlib import Path

import torch

from lit_transformer.records.checkpoints import LAST, CheckpointFolder, Entry, Found


def save(folder: CheckpointFolder, step: int, name: str = LAST, content: object = None) -> Entry:
    value = {"step": step, "name": name, "content": content}
    return folder.save(
        name, lambda file: torch.save(value, file), step=step, resumable=name == LAST, facts={"saved_at": step}
    )


def step_in(path: Path) -> int:
    return torch.load(path, weights_only=True)["step"]


def newest(folder: CheckpointFolder) -> tuple[Found | None, list[str]]:
    lines: list[str] = []
    return folder.newest(lines.append), lines


def names(folder: CheckpointFolder) -> set[str]:
    return set(os.listdir(folder.path)) - {"manifest.json"}


def flip(path: Path, bit: int) -> bytes:
    """Flip one bit in place; returns the earlier content."""
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    return content
