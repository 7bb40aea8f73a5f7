"""Accuracy, F1 and Matthews' correlation from counts of each class, which add up over batches and ranks."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def label_sums(predicted: Tensor, labels: Tensor, num_classes: int) -> dict[str, Tensor]:
    """How often each class was predicted, was right, and both; predicted and labels (rows,), label -100 for none."""
    kept = labels >= 0
    predicted, labels = predicted[kept], labels[kept]  # (rows,)
    hits = predicted == labels
    sums = {"rows": kept.sum(), "hits": hits.sum()}
    for name, values in (("predicted", predicted), ("labelled", labels), ("hit", labels[hits])):
        counts = torch.bincount(values, minlength=num_classes)  # (num_classes,)
        sums |= {f"{name}_{index}": count for index, count in enumerate(counts.unbind())}
    return sums


def label_predictions(predicted: Tensor, labels: Tensor) -> tuple[list[int], list[dict[str, Any]]]:
    """Places of the rows that have a label, and of each what was predicted; predicted and labels (rows,)."""
    places = [place for place, label in enumerate(labels.tolist()) if label >= 0]
    pairs = [(int(predicted[place]), int(labels[place])) for place in places]
    return places, [
        {"predicted": found, "label": label, "statistics": {"accuracy": [int(found == label), 1]}}
        for found, label in pairs
    ]


def label_metrics(sums: Mapping[str, float], num_classes: int) -> dict[str, float]:
    """Accuracy; F1 of the second class where there are two, else the mean over classes; Matthews (Gorodkin 2004)."""
    rows = max(sums["rows"], 1.0)
    predicted, labelled, hit = (
        [sums[f"{name}_{index}"] for index in range(num_classes)] for name in ("predicted", "labelled", "hit")
    )
    f1 = [2 * h / (p + t) if p + t else 0.0 for p, t, h in zip(predicted, labelled, hit, strict=True)]
    covariance = sum(hit) * rows - sum(p * t for p, t in zip(predicted, labelled, strict=True))
    spread = (rows**2 - sum(p * p for p in predicted)) * (rows**2 - sum(t * t for t in labelled))
    return {
        "accuracy": sums["hits"] / rows,
        "f1": f1[1] if num_classes == 2 else sum(f1) / num_classes,
        "matthews": covariance / math.sqrt(spread) if spread > 0 else 0.0,
    }
