"""Intersection over union and its like, from one confusion matrix that adds up over batches and ranks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from lit_transformer.nn.losses import IGNORED


def confusion(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """Pixels by true and predicted class, (num_classes * num_classes,); of shapes alike, targets of -100 left out."""
    matrix = multiclass_confusion_matrix(
        predicted, targets, num_classes, ignore_index=IGNORED, validate_args=False
    )  # (num_classes, num_classes)
    return matrix.flatten()


def mask_metrics(matrix: NDArray[np.float64], names: Sequence[str]) -> dict[str, float]:
    """Metrics of a confusion matrix (classes, classes), rows the truth, and the names of its classes.

    mean_iou and dice are plain means over the classes that the truth or the prediction has at all; iou/NAME is that of
    one such class. All are 0 where no pixel counted.
    """
    hits, truth, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)  # (classes,) each
    there = truth + predicted > 0
    hits, truth, predicted = hits[there], truth[there], predicted[there]
    iou = hits / (truth + predicted - hits)
    shown = [name for name, kept in zip(names, there, strict=True) if kept]
    return {
        "mean_iou": float(iou.mean()) if len(iou) else 0.0,
        "pixel_accuracy": float(hits.sum() / max(truth.sum(), 1.0)),
        "dice": float((2 * hits / (truth + predicted)).mean()) if len(hits) else 0.0,
        **{f"iou/{key(name)}": float(value) for name, value in zip(shown, iou, strict=True)},
    }


def key(name: str) -> str:
    """A class' name as a part of a metric's."""
    return "_".join(name.replace("/", " ").split())
