"""The class of each pixel of an image."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_transformer.config.losses import parse_losses
from lit_transformer.models.segmenter import Segmenter, normalise
from lit_transformer.nn.pixel_losses import pixel_losses
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.tasks.mask_metrics import confusion, mask_metrics


class Segmentation(Task):
    """A convolutional encoder-decoder trained on images and masks; called with images it gives logits.

    The loss of an image is the mean over its pixels that count, and that of a step the mean over its images: their
    number is known before they are read, so one process, two ranks and accumulation take the same step.
    """

    network: Segmenter
    class_weights: Tensor | None
    monitor = "val/mean_iou"
    monitor_mode = "max"

    def __init__(self, *given: Any, **how: Any) -> None:
        super().__init__(*given, **how)
        self.network.to(memory_format=torch.channels_last)  # convolutions of both kinds of device are faster so
        self._terms = parse_losses(self.config.objective.losses, self.network.num_logits)
        weights = torch.tensor(self.facts.class_weights) if self.facts.class_weights else None  # (classes,)
        self.register_buffer("class_weights", weights, persistent=False)

    @property
    def num_classes(self) -> int:
        """Classes of a mask: two with a single logit."""
        return max(self.network.num_logits, 2)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Images uint8 (batch, channels, height, width) -> logits (batch, num_logits, height, width)."""
        return self.network(normalise(images).contiguous(memory_format=torch.channels_last))

    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        return self._loss(self(batch["images"]), batch["masks"])

    def evaluation_sums(self, batch: Batch, split: str) -> dict[str, Tensor]:
        logits = self(batch["images"])  # (batch, num_logits, height, width)
        predicted = predicted_classes(logits)  # (batch, height, width)
        matrix = confusion(predicted, batch["masks"], self.num_classes)
        if self.told is not None:
            places = [place for place, row in enumerate(batch["rows"].tolist()) if row >= 0]
            self.told(places, [self._prediction(predicted[place], batch["masks"][place]) for place in places])
        return {**self._loss(logits, batch["masks"]), "confusion": matrix}

    def _prediction(self, predicted: Tensor, mask: Tensor) -> dict[str, Any]:
        """Of an image (height, width): its confusion matrix, which is all that a metric needs."""
        return {"statistics": {"mean_iou": confusion(predicted, mask, self.num_classes).tolist()}}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        found = {"loss": sums["loss"] / max(sums["count"], 1.0)}
        if "confusion/0" not in sums:
            return found
        classes = self.num_classes
        matrix = np.array([sums[f"confusion/{index}"] for index in range(classes**2)]).reshape(classes, classes)
        return {**found, **mask_metrics(matrix, self.facts.classes or [str(index) for index in range(classes)])}

    def _loss(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        loss, count = pixel_losses(
            logits,
            masks,
            terms=self._terms,
            class_weights=self.class_weights,
            focal_gamma=self.config.objective.focal_gamma,
        )
        return {"loss": loss, "count": count}


def predicted_classes(logits: Tensor) -> Tensor:
    """Logits (batch, num_logits, height, width) -> the likeliest class of each pixel, (batch, height, width)."""
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).long()
    return logits.max(dim=1).indices  # argmax over an axis that is not the last takes twenty times as long on a CPU


def class_probabilities(logits: Tensor) -> Tensor:
    """Logits (batch, num_logits, height, width) -> probabilities (batch, classes, height, width), two of one logit."""
    if logits.shape[1] > 1:
        return logits.float().softmax(dim=1)
    one = logits.float().sigmoid()  # (batch, 1, height, width)
    return torch.cat((1 - one, one), dim=1)  # (batch, 2, height, width)
