"""Losses of pixels as (sum over images, number of images): each image's loss is a mean over its pixels that count.

So one division, by the number of images, serves accumulated micro-batches and several ranks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from lit_transformer.nn.losses import IGNORED

PER_PIXEL = ("cross_entropy", "bce", "focal")
"""Losses that each pixel has by itself; dice is one of a whole image."""


def pixel_losses(
    logits: Tensor,
    targets: Tensor,
    *,
    terms: Mapping[str, float],
    class_weights: Tensor | None = None,
    focal_gamma: float = 2.0,
) -> tuple[Tensor, Tensor]:
    """Summed loss (float32 at least) of logits (images, num_logits, height, width) and the number of images with one.

    targets (images, height, width) are classes, -100 where a pixel does not count; an image without any adds 0. A
    single logit is that of class 1 against class 0. terms has the weight of each loss: cross_entropy; bce, each class
    against the others, their mean; dice, 1 - the mean Dice coefficient of the classes that the image has (Milletari et
    al. 2016, with probabilities unsquared); focal, (1 - p)^focal_gamma times cross-entropy (Lin et al. 2017, section
    3.2). class_weights (classes,) multiply a pixel's cross_entropy and focal. Raises ValueError for an unknown loss.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # half precision loses sums over pixels
    counted = targets != IGNORED  # (images, height, width)
    labels = targets.where(counted, 0)
    pixels = counted.flatten(1).sum(dim=1)  # (images,)
    log_p = _log_probabilities(logits) if set(terms) != {"bce"} else None  # (images, classes, height, width)
    total = logits.new_zeros(len(logits))  # (images,)
    for name, weight in terms.items():
        if name == "bce":
            losses = _bce(logits, labels)  # (images, height, width)
        elif log_p is not None and name in PER_PIXEL:
            losses = _focal(log_p, labels, class_weights, focal_gamma if name == "focal" else 0.0)  # the same
        elif log_p is not None and name == "dice":
            total = total + weight * _dice(log_p.exp(), labels, counted)
            continue
        else:
            raise ValueError(f"no loss of pixels is called {name!r}; there are {', '.join(PER_PIXEL)} and dice")
        sums = losses.where(counted, 0.0).flatten(1).sum(dim=1)  # (images,)
        total = total + weight * sums / pixels.clamp(min=1)
    return total.sum(), (pixels > 0).sum()


def _log_probabilities(logits: Tensor) -> Tensor:
    """Of each class (images, classes, height, width), two of a single logit."""
    if logits.shape[1] > 1:
        return logits.log_softmax(dim=1)
    return torch.cat((F.logsigmoid(-logits), F.logsigmoid(logits)), dim=1)  # (images, 2, height, width)


def _bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy (images, height, width), over several logits their mean."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], (labels == 1).to(logits.dtype), reduction="none")
    truth = _one_hot(labels, logits.shape[1]).to(logits.dtype)  # (images, num_logits, height, width)
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=1)


def _focal(log_p: Tensor, labels: Tensor, class_weights: Tensor | None, gamma: float) -> Tensor:
    """Focal loss (images, height, width); with gamma 0 it is cross-entropy."""
    losses = -log_p.gather(1, labels[:, None])[:, 0]  # (images, height, width)
    if gamma:
        # Above 0, where a power below 1 has no gradient; expm1 is exact where p is nearly 1.
        wrong = -torch.expm1(-losses)  # (images, height, width)
        losses = losses * wrong.clamp(min=torch.finfo(wrong.dtype).tiny) ** gamma
    return losses if class_weights is None else losses * class_weights.to(losses.dtype)[labels]


def _dice(p: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """1 - the mean over the classes that are there of 2 sum(p y) / (sum(p) + sum(y)), (images,); 0 where none is."""
    truth = _one_hot(labels, p.shape[1]) & counted[:, None]  # (images, classes, height, width)
    predicted = p.where(counted[:, None], 0.0).sum(dim=(2, 3))  # (images, classes)
    hits, actual = p.where(truth, 0.0).sum(dim=(2, 3)), truth.sum(dim=(2, 3))  # (images, classes) each
    # Where a class is there, the denominator is 1 at least; elsewhere it does not matter.
    missed = (1 - 2 * hits / (predicted + actual).clamp(min=1)).where(actual > 0, 0.0)  # (images, classes)
    return missed.sum(dim=1) / (actual > 0).sum(dim=1).clamp(min=1)


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    numbers = torch.arange(classes, device=labels.device)[:, None, None]  # (classes, 1, 1)
    return labels[:, None] == numbers  # (images, classes, height, width)
