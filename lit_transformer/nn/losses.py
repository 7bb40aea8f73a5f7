"""Losses as (sum, count), so that one division serves accumulated micro-batches and several ranks."""

from torch import Tensor
from torch.nn import functional as F

IGNORED = -100
"""A target where there is nothing to predict."""


def cross_entropy(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy in nats (float32) of logits (..., classes) and the number of targets (...) that counted.

    Targets of -100 are ignored. label_smoothing spreads that share of each target evenly over all classes (Szegedy et
    al. 2016, section 7).
    """
    rows = logits.flatten(0, -2)  # (targets, classes)
    if rows.element_size() < 4:
        rows = rows.float()  # a sum over thousands of targets is lost in 8 bits of mantissa
    loss = F.cross_entropy(
        rows, targets.flatten(), reduction="sum", ignore_index=IGNORED, label_smoothing=label_smoothing
    )
    return loss, (targets != IGNORED).sum()
