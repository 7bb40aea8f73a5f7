"""FLOPs of a training step, counted on the meta device: nothing is computed, nothing is allocated."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lit_transformer.config.models import ModelConfig
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig
from lit_transformer.models.for_task import network_for


@dataclass(frozen=True)
class TrainingCost:
    """What one training sequence costs."""

    parameters: int
    """Numbers to be learned; shared ones count once."""
    flops_per_token: int
    """FLOPs of matrix products, forward and backward; a multiplication and an addition count as two."""
    activation_bytes: int
    """Float32 bytes that one sequence keeps for the backward pass."""
    sequence_tokens: int
    """Tokens of that sequence, on both sides of an encoder-decoder."""


def flops_per_token(config: ExperimentConfig) -> int:
    """FLOPs of one training step per token, forward and backward; `vocab_size` must be set."""
    return experiment_cost(config).flops_per_token


def experiment_cost(config: ExperimentConfig) -> TrainingCost:
    """The cost of the network that an experiment trains, heads included."""
    return training_cost(config.model, config.task, config.objective)


@cache
def training_cost(
    model_config: ModelConfig, task: str = "language_model", objective: ObjectiveConfig | None = None
) -> TrainingCost:
    """Parameters, FLOPs and activation memory of training on one full sequence; one build a configuration.

    Attention counts all pairs of positions, causal or not, as is usual. Raises UserError where `vocab_size` is null.
    """
    objective = objective or ObjectiveConfig()
    with torch.device("meta"):
        model = network_for(model_config, task, objective)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        batch = model.dummy_batch(objective)
        targets = batch.pop("targets")
        tokens = sum(batch[name].numel() for name in ("inputs", "decoder_inputs") if name in batch)
    kept = _Kept(model)
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
            logits = model.logits(model.target_hidden(**batch))  # (1, targets, vocab_size)
            loss = nn.functional.cross_entropy(logits.flatten(0, -2), targets.flatten())
        loss.backward()
    return TrainingCost(parameters, counter.get_total_flops() // tokens, kept.bytes, tokens)


class _Kept:
    """Adds up the memory of the tensors that autograd keeps, each storage once, weights left out."""

    def __init__(self, model: nn.Module) -> None:
        self.bytes = 0
        self._seen = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
        self._alive: list[Tensor] = []  # a freed storage's address may come again and would be taken for a known one

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self._alive.append(tensor)
            self.bytes += storage.nbytes()
        return tensor
