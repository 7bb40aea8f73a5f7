"""What the systems' acts share: evaluating, and keeping transformers quiet."""

import logging
from collections.abc import Callable

import torch
from alternating import Act
from torch import Tensor, nn

from lit_transformer.models.base import TextNetwork
from lit_transformer.tasks.language_model import answer_sums

Batch = dict[str, Tensor]

logging.getLogger("transformers").setLevel(logging.ERROR)


def mean_loss(model: TextNetwork, batch: Batch) -> Callable[[], Tensor]:
    """Our loss in nats a target."""

    def loss() -> Tensor:
        total, count = model.loss(**batch)
        return total / count

    return loss


def evaluation(model: TextNetwork, batch: Batch) -> Act:
    """Loss and accuracy, as our tasks measure them."""
    model.eval()
    given = {name: value for name, value in batch.items() if name != "targets"}

    @torch.no_grad()
    def evaluate() -> float:
        sums = answer_sums(model.logits(model.target_hidden(**given)), batch["targets"])
        sums["correct"].item()
        return (sums["loss"] / sums["count"]).item()

    return evaluate


def their_evaluation(model: nn.Module, answer: Callable[[], tuple[Tensor, Tensor]], targets: Tensor) -> Act:
    """Loss and accuracy of their logits (..., vocab_size) for targets (...), -100 where nothing is predicted."""
    model.eval()

    @torch.no_grad()
    def evaluate() -> float:
        loss, logits = answer()
        ((logits.argmax(dim=-1) == targets) & (targets != -100)).sum().item()
        return loss.item()

    return evaluate
