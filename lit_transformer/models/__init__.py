"""Pure torch networks, one file each, and the registry that `model.kind` chooses from."""

from collections.abc import Callable

from torch import nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import GPTConfig, ModelConfig
from lit_transformer.models.gpt import GPT

MODELS: dict[type[ModelConfig], Callable[..., nn.Module]] = {GPTConfig: GPT}
"""Class of a network's settings -> the network."""


def build_model(config: ModelConfig) -> nn.Module:
    """The network that the settings describe, with fresh weights from torch's global generator."""
    if type(config) not in MODELS:
        kinds = ", ".join(sorted(known.kind for known in MODELS))
        raise UserError(f"model.kind: got {config.kind} ({type(config).__name__}); allowed: {kinds}")
    return MODELS[type(config)](config)
