"""Fixtures of the tests of text data."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.schema import (
    DataConfig,
    ExperimentConfig,
    GPTConfig,
    ObjectiveConfig,
    TokenizerConfig,
    TrainerConfig,
)

MakeConfig = Callable[..., ExperimentConfig]


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache, a current folder and a data folder of each test's own."""
    for name in ("cache", "here", "data"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIT_TRANSFORMER_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def config() -> MakeConfig:
    """Makes an experiment: `tokenizer`, `trainer`, `context_length` and `seed` apart, the names are those of `data`."""

    def make(
        *,
        context_length: int = 8,
        seed: int = 0,
        kind: str = "characters",
        tokenizer: dict[str, object] | None = None,
        trainer: dict[str, object] | None = None,
        **data: object,
    ) -> ExperimentConfig:
        settings = TokenizerConfig(**{"kind": kind, "vocab_size": None, "min_frequency": 1, **(tokenizer or {})})  # type: ignore[arg-type]
        return ExperimentConfig(
            model=GPTConfig(context_length=context_length),
            objective=ObjectiveConfig(name="causal_lm"),
            data=dataclasses.replace(DataConfig(source="text", path="text.txt", tokenizer=settings), **data),  # type: ignore[arg-type]
            trainer=dataclasses.replace(TrainerConfig(), **(trainer or {})),  # type: ignore[arg-type]
            seed=seed,
        )

    return make


@pytest.fixture
def prose() -> str:
    """About 40 kB of text with repeated words, runs of spaces, blank lines and characters outside ASCII."""
    text = "the quick brown fox can't jump over 1234 lazy dogs — naïve café, 東京 🙂 ; x_1 = [y]"
    words = text.split()
    state, parts = 7, []
    for index in range(6000):
        state = (state * 1103515245 + 12345) % (1 << 31)
        parts.append(words[(state >> 8) % len(words)])
        parts.append([" ", " ", " ", "  ", "\n", "\n\n", "\n \t", "\r\n"][(state >> 16) % 8] if index % 3 else " ")
    return "".join(parts)
