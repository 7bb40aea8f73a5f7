"""Runs of every kind of network and data, hardly trained, and the subjects made of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_transformer.analysis.subject import Subject, open_subject
from tests.inference.conftest import settings
from tests.inference.runs import ask, make_run

__all__ = ["ask", "settings"]

KINDS = (
    "gpt words", "gpt prefix", "bert", "t5", "glm", "translation", "answers", "pairs", "gpt classes", "gpt text",
    "t5 text", "choices", "bert choices", "choices text",
)  # fmt: skip
"""Of tests/inference/conftest.py: each network, task and kind of data."""

Fresh = Callable[[str], Path]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, list[str]]) -> Fresh:
    """A run by its name, made when it is first asked for."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_")) / "run"
            made[name] = make_run(
                folder, [*settings[name], "model.init_std=0.3"] if "gpt" in name else settings[name], steps=3
            )
        return made[name]

    return get


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest, fresh: Fresh) -> Subject:
    """Two validation batches of each run, in double precision."""
    found = open_subject(fresh(request.param), batches=2, device="cpu")
    torch.set_num_threads(1)
    found.task.double()
    return found
