"""FLOPs of a training step, counted on the meta device: nothing is computed, nothing is allocated."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lit_transformer.config.losses import parse_losses
from lit_transformer.config.models import ModelConfig
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.for_task import network_for
from lit_transformer.models.segmenter import Segmenter
from lit_transformer.nn.pixel_losses import pixel_losses


@dataclass(frozen=True)
class TrainingCost:
    """What one training sequence, or of a segmenter one image, costs."""

    parameters: int
    """Numbers to be learned; shared ones count once."""
    sequence_flops: int
    """FLOPs of matrix products and convolutions, forward and backward; a multiplication and an addition are two."""
    activation_bytes: int
    """Float32 bytes that one sequence or image keeps for the backward pass."""
    sequence_tokens: int
    """Tokens of that sequence, on both sides of an encoder-decoder; pixels of that image."""

    @property
    def flops_per_token(self) -> int:
        """Those of one token, or of a segmenter's pixel."""
        return self.sequence_flops // self.sequence_tokens


def flops_per_token(config: ExperimentConfig) -> int:
    """FLOPs of one training step per token or pixel, forward and backward; `vocab_size` must be set."""
    return experiment_cost(config).flops_per_token


def experiment_cost(config: ExperimentConfig) -> TrainingCost:
    """The cost of the network that an experiment trains, heads included."""
    return training_cost(config.model, config.task, config.objective)


@cache
def training_cost(
    model_config: ModelConfig, task: str = "language_model", objective: ObjectiveConfig | None = None
) -> TrainingCost:
    """Parameters, FLOPs and activation memory of training on one full sequence; one build a configuration.

    Attention counts all pairs of positions, causal or not, as is usual. A segmenter's image is that of its
    `dummy_batch`: another one costs as much a pixel, but for what is rounded up where sizes are no multiples of
    2^num_stages, and its memory grows with its pixels. Raises UserError where `vocab_size` is null.
    """
    objective = objective or ObjectiveConfig()
    with torch.device("meta"):
        model = network_for(model_config, task, objective)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        batch = model.dummy_batch(objective) if isinstance(model, TextNetwork) else model.dummy_batch()
    loss_of, tokens = _of_pixels(model, batch, objective) if isinstance(model, Segmenter) else _of_tokens(model, batch)
    kept = _Kept(model)
    with FlopCounterMode(display=False) as counter:
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
            loss = loss_of()
        loss.backward()
    return TrainingCost(parameters, counter.get_total_flops(), kept.bytes, tokens)


def _of_tokens(model: TextNetwork, batch: dict[str, Tensor]) -> tuple[Callable[[], Tensor], int]:
    """What computes the loss of a batch, and the batch's tokens."""
    inputs = {name: value for name, value in batch.items() if name != "targets"}

    def loss() -> Tensor:
        logits = model.logits(model.target_hidden(**inputs))  # (1, targets, vocab_size)
        return nn.functional.cross_entropy(logits.flatten(0, -2), batch["targets"].flatten())

    return loss, sum(batch[name].numel() for name in ("inputs", "decoder_inputs") if name in batch)


def _of_pixels(
    model: Segmenter, batch: dict[str, Tensor], objective: ObjectiveConfig
) -> tuple[Callable[[], Tensor], int]:
    """What computes the loss of a batch, and the batch's pixels."""
    terms = parse_losses(objective.losses, model.num_logits)

    def loss() -> Tensor:
        logits = model(batch["images"])  # (1, num_logits, height, width)
        return pixel_losses(logits, batch["masks"], terms=terms, focal_gamma=objective.focal_gamma)[0]

    return loss, batch["masks"].numel()


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
