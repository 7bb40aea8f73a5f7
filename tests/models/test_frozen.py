"""Frozen layers have no gradient, are not in the optimizer, and keep their bits."""

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import BertConfig, EncoderDecoderConfig, GLMConfig, GPTConfig, T5Config
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig, OptimizerConfig
from lit_transformer.models import build_model
from lit_transformer.models.for_task import build_network
from lit_transformer.models.frozen import freeze
from lit_transformer.optim import build_optimizer

SHAPE = {"num_layers": 3, "num_heads": 2, "d_model": 8, "context_length": 6, "vocab_size": 11}
MODELS = [
    GPTConfig(**SHAPE),
    GPTConfig(**SHAPE, tie_embeddings=False, positions="rope"),
    BertConfig(**SHAPE),
    GLMConfig(**SHAPE),
    EncoderDecoderConfig(**SHAPE, share_embeddings=False, positions="learned"),
    T5Config(**SHAPE),
]
BELOW = (
    "token_", "source_", "target_positions", "position_", "block_position_", "embedding_norm", "encoder_bias",
)  # fmt: skip


def blocks_of(network):
    body = getattr(network, "body", network)
    names = ["blocks"] if hasattr(body, "blocks") else ["encoder_blocks", "decoder_blocks"]
    prefix = "" if body is network else "body."
    return [f"{prefix}{name}.{index}." for name in names for index in range(3)]


def train(network):
    optimizer = build_optimizer(network.named_parameters(), OptimizerConfig(lr=0.1))
    for _ in range(2):
        optimizer.zero_grad()
        total, count = network.loss(**network.dummy_batch(ObjectiveConfig()))
        (total / count).backward()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_the_first_layers_and_what_is_below_them(model, num_layers):
    torch.manual_seed(0)
    network = build_model(model)
    freeze(network, num_layers)
    before = {name: tensor.clone() for name, tensor in network.named_parameters()}
    optimizer = train(network)
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    blocks = blocks_of(network)
    for name, tensor in network.named_parameters():
        block = next((place for place, prefix in enumerate(blocks) if name.startswith(prefix)), None)
        if block is not None:
            still = block < num_layers
        else:
            below = (
                "token_",
                "source_",
                "target_positions",
                "position_",
                "block_position_",
                "embedding_norm",
                "encoder_bias",
            )
            still = num_layers > 0 and name.startswith(below)
        assert (id(tensor) in held) is not still, name
        assert tensor.requires_grad is not still and (tensor.grad is None or not still)
        assert not still or torch.equal(tensor, before[name])
    assert any(not torch.equal(tensor, before[name]) for name, tensor in network.named_parameters())


@pytest.mark.parametrize("model", [GPTConfig(**SHAPE), BertConfig(**SHAPE)])
def test_under_a_head(model):
    config = ExperimentConfig(task="classification", model=model, objective=ObjectiveConfig(name="label", lm_weight=0))
    network = build_network(config)
    freeze(network, 3)
    trained = {name for name, tensor in network.named_parameters() if tensor.requires_grad}
    top = {"body.pooler.weight", "body.pooler.bias"} if model.kind == "bert" else {"body.norm.weight", "body.norm.bias"}
    assert trained == {"output.weight", "output.bias"} | top
    train(network)


def test_a_decoder_after_its_encoder():
    network = build_model(T5Config(**SHAPE))
    freeze(network, 4)
    assert not any(tensor.requires_grad for tensor in network.encoder_blocks.parameters())
    frozen = [not next(block.parameters()).requires_grad for block in network.decoder_blocks]
    assert frozen == [True, False, False] and not network.decoder_bias.embedding.weight.requires_grad


@pytest.mark.parametrize(("model", "most"), [(GPTConfig(**SHAPE), 3), (T5Config(**SHAPE), 6)])
def test_more_than_there_are(model, most):
    freeze(build_model(model), most)
    with pytest.raises(UserError, match=rf"model.frozen_layers\n  got      {most + 1}\n  allowed  0 to {most}"):
        freeze(build_model(model), most + 1)
