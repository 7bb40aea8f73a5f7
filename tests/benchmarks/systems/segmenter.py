"""The segmenter beside segmentation_models_pytorch's U-Net with about as many FLOPs, which both counts show.

Both have batch norm and skips, start from random weights, take the same images, 4 classes, cross-entropy of each pixel,
and double by nearest neighbours. Widths are multiples of 8, for convolutions of other widths are half as fast. Theirs
works in the memory format that is faster for it. The shapes are named after the widest stage of ours.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import segmentation_models_pytorch as smp
import torch
from alternating import Act, training_step, with_threads
from case import Case
from ceiling import Product
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.models import SegmenterConfig
from lit_transformer.models.segmenter import Segmenter
from lit_transformer.nn.pixel_losses import pixel_losses
from lit_transformer.tasks.mask_metrics import confusion
from lit_transformer.tasks.segmentation import predicted_classes

BATCH, SIDE, CLASSES = 8, 96, 4
REQUIRED = 1.2
FORMATS = (torch.contiguous_format, torch.channels_last)


@dataclass(frozen=True)
class Size:
    """Our stages and width, and the encoder and decoder of theirs with as many FLOPs a pixel, within 10 %."""

    stages: int
    width: int
    encoder: str
    decoder: tuple[int, ...]

    @property
    def peer(self) -> str:
        """What theirs is called."""
        return f"segmentation_models_pytorch's Unet ({self.encoder})"

    @property
    def product(self) -> Product:
        """That of the bottleneck's second convolution, written as a product."""
        side, width = SIDE >> self.stages, self.width << self.stages
        return Product(BATCH * side * side, 9 * width, width)


SIZES = {
    "demo": Size(3, 16, "resnet18", (48, 24, 8)),
    "d 256": Size(4, 32, "vgg11_bn", (128, 64, 32, 16, 8)),
    "d 512": Size(3, 48, "vgg13_bn", (256, 128, 64, 32, 16)),
}


def make_batch() -> tuple[Tensor, Tensor]:
    """Images (batch, 3, side, side) and masks (batch, side, side), drawn once."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator)
    return images, torch.randint(CLASSES, (BATCH, SIDE, SIDE), generator=generator)


def network(size: Size) -> Segmenter:
    """Ours."""
    config = SegmenterConfig(
        num_stages=size.stages, base_channels=size.width, num_classes=CLASSES, upsampling="nearest"
    )
    return Segmenter(config)


def peer(size: Size) -> nn.Module:
    """Theirs."""
    return smp.Unet(
        size.encoder, encoder_weights=None, encoder_depth=len(size.decoder), decoder_channels=size.decoder,
        classes=CLASSES,
    )  # fmt: skip


def our_loss(model: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
    """As the task computes it."""
    logits = model(images)
    total, count = pixel_losses(logits, masks, terms={"cross_entropy": 1.0}, class_weights=None, focal_gamma=2.0)
    return total / count


def our_training(size: Size) -> Act:
    """A training step."""
    images, masks = make_batch()
    model, images = network(size).train().to(memory_format=FORMATS[1]), images.contiguous(memory_format=FORMATS[1])
    return training_step(model, lambda: our_loss(model, images, masks))


def our_evaluation(size: Size) -> Act:
    """Loss and the confusion of classes of one batch."""
    images, masks = make_batch()
    model, images = network(size).eval().to(memory_format=FORMATS[1]), images.contiguous(memory_format=FORMATS[1])

    @torch.no_grad()
    def act() -> float:
        logits = model(images)
        confusion(predicted_classes(logits), masks, CLASSES)
        total, count = pixel_losses(logits, masks, terms={"cross_entropy": 1.0}, class_weights=None, focal_gamma=2.0)
        return (total / count).item()

    return act


def our_segmentation(size: Size) -> Act:
    """The class of each pixel."""
    model = network(size).eval().to(memory_format=FORMATS[1])
    images = make_batch()[0].contiguous(memory_format=FORMATS[1])

    @torch.inference_mode()
    def act() -> Tensor:
        return predicted_classes(model(images))

    return act


def in_format(make: Callable[[nn.Module, Tensor, Tensor], Act], size: Size, layout: torch.memory_format) -> Act:
    """An act of theirs with weights and images in a memory format."""
    torch.manual_seed(0)
    images, masks = make_batch()
    return make(peer(size).to(memory_format=layout), images.contiguous(memory_format=layout), masks)


def faster(make: Callable[[nn.Module, Tensor, Tensor], Act], size: Size) -> Act:
    """An act of theirs in the memory format in which it is faster."""
    acts = [in_format(make, size, layout) for layout in FORMATS]
    best = min(range(2), key=lambda place: _seconds(acts[place], 3))
    return in_format(make, size, FORMATS[best])


def their_training(model: nn.Module, images: Tensor, masks: Tensor) -> Act:
    """A training step of theirs."""
    model.train()
    return training_step(model, lambda: F.cross_entropy(model(images), masks))


def peer_evaluation(model: nn.Module, images: Tensor, masks: Tensor) -> Act:
    """Loss, and smp's own counts of right and wrong pixels."""
    model.eval()

    @torch.no_grad()
    def act() -> float:
        logits = model(images)
        smp.metrics.get_stats(logits.argmax(dim=1), masks, mode="multiclass", num_classes=CLASSES)
        return F.cross_entropy(logits, masks).item()

    return act


def their_segmentation(model: nn.Module, images: Tensor, masks: Tensor) -> Act:
    """The class of each pixel."""
    model.eval()

    @torch.inference_mode()
    def act() -> Tensor:
        return model(images).argmax(dim=1)

    return act


def _seconds(act: Act, repeats: int) -> float:
    """The median of some calls, after one that is not counted."""
    act()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def metrics_cost(repeats: int = 10) -> float:
    """What the metrics of a batch cost, in percent of a training step on it: the tiny experiment's network."""
    step, logits, masks = our_training(SIZES["demo"]), torch.randn(BATCH, CLASSES, SIDE, SIDE), make_batch()[1]

    def metrics() -> None:
        confusion(predicted_classes(logits), masks, CLASSES)

    return with_threads(lambda: 100 * _seconds(metrics, repeats) / _seconds(step, repeats))


def cases() -> Iterator[Case]:
    """Everything beside segmentation_models_pytorch."""
    works = {
        "training": (our_training, their_training, REQUIRED, 1.0),
        "evaluation": (our_evaluation, peer_evaluation, None, None),
        "segmentation": (our_segmentation, their_segmentation, None, None),
    }
    for shape, size in SIZES.items():
        for work, (ours, theirs, required, apart) in works.items():
            yield Case(
                system="segmenter", peer=size.peer, work=work, shape=shape, unit="images", units=BATCH, apart=apart,
                product=size.product, required=required, ours=partial(ours, size), theirs=partial(faster, theirs, size),
                dropout=0.0 if work == "training" else None,
            )  # fmt: skip
