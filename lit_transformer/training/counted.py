"""FLOPs of a network, counted once on this machine: counting would be a large part of a short trial."""

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from lit_transformer import models, nn
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.models.flops import flops_per_token
from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.training.identity import versions


def counted_flops_per_token(config: ExperimentConfig, folder: Path) -> int:
    """FLOPs of one training step per token or pixel, from `folder` where an earlier run left them there."""
    shape = [asdict(config.model), config.task, asdict(config.objective), versions(), code()]
    path = folder / "flops" / f"{hashlib.sha256(json.dumps(shape).encode()).hexdigest()[:32]}.json"
    known = read_json(path).get("flops_per_token")
    if isinstance(known, int):
        return known
    counted = flops_per_token(config)
    with suppress(OSError):  # a full disk, a folder of somebody else's: counted again next time
        write_json(path, {"flops_per_token": counted})
    return counted


@cache
def code() -> str:
    """What stands for the code of the networks: every file's size and time."""
    files = [file for package in (models, nn) for file in sorted(Path(package.__path__[0]).rglob("*.py"))]
    found = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
