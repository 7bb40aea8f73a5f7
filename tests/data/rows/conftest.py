"""Fixtures of the tests of rows."""

import dataclasses
from collections.abc import Callable, Mapping

import pytest

from lit_transformer.config.models import MODEL_CONFIGS
from lit_transformer.config.schema import DataConfig, ExperimentConfig, ObjectiveConfig, TokenizerConfig

MakeRows = Callable[..., ExperimentConfig]


@pytest.fixture
def config() -> MakeRows:
    """Makes an experiment: the names are those of `data`, but for `objective`, `tokenizer` and the model's."""

    def make(
        task: str,
        *,
        model: str = "gpt",
        context_length: int = 64,
        init_from: str | None = None,
        objective: Mapping[str, object] | None = None,
        tokenizer: Mapping[str, object] | None = None,
        **data: object,
    ) -> ExperimentConfig:
        settings = {"kind": "words", "vocab_size": None, "min_frequency": 1, **(tokenizer or {})}
        return ExperimentConfig(
            task=task,  # type: ignore[arg-type]
            model=MODEL_CONFIGS[model](context_length=context_length, init_from=init_from),  # type: ignore[call-arg]
            objective=ObjectiveConfig(**(objective or {})),  # type: ignore[arg-type]
            data=dataclasses.replace(DataConfig(tokenizer=TokenizerConfig(**settings)), **data),  # type: ignore[arg-type]
        )

    return make
