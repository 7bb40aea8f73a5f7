"""Pure torch networks, one file each, and the registry that `model.kind` chooses from."""

from collections.abc import Callable

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import (
    BertConfig,
    EncoderDecoderConfig,
    GLMConfig,
    GPTConfig,
    ModelConfig,
    SegmenterConfig,
    T5Config,
)
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.bert import Bert
from lit_transformer.models.encoder_decoder import EncoderDecoder
from lit_transformer.models.glm import GLM
from lit_transformer.models.gpt import GPT
from lit_transformer.models.segmenter import Segmenter
from lit_transformer.models.t5 import T5

Network = TextNetwork | Segmenter

MODELS: dict[type[ModelConfig], Callable[..., Network]] = {
    GPTConfig: GPT,
    BertConfig: Bert,
    GLMConfig: GLM,
    EncoderDecoderConfig: EncoderDecoder,
    T5Config: T5,
    SegmenterConfig: Segmenter,
}
"""Class of a network's settings -> the network."""


def build_model(config: ModelConfig) -> Network:
    """The network that the settings describe, with fresh weights from torch's global generator."""
    if type(config) not in MODELS:
        kinds = ", ".join(sorted(known.kind for known in MODELS))
        raise UserError(f"model.kind: got {config.kind} ({type(config).__name__}); allowed: {kinds}")
    return MODELS[type(config)](config)
