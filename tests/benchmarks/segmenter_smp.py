"""Training images/s of our segmenter beside segmentation_models_pytorch's U-Net on VGG; see alternating.py.

`python tests/benchmarks/segmenter_smp.py` prints a table and one line of JSON. Both networks are float32, have batch
norm and skips, start from random weights and take the same step on the same images, 4 classes, cross-entropy of each
pixel, and double by nearest neighbours. Ours has the stages and the width that make the FLOPs of both alike, within
5 %, which the table shows; the width is a multiple of 8 as all of theirs are, for convolutions of other widths are half
as fast. Theirs trains in the memory format that is faster for it.
"""

import statistics
import time
from collections.abc import Callable

import segmentation_models_pytorch as smp
import torch
from alternating import Row, Step, compare, main, training_step, with_threads
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lit_transformer.config.models import SegmenterConfig
from lit_transformer.models.segmenter import Segmenter
from lit_transformer.nn.pixel_losses import pixel_losses
from lit_transformer.tasks.mask_metrics import confusion
from lit_transformer.tasks.segmentation import predicted_classes

BATCH, SIDE, CLASSES = 8, 96, 4
ENCODERS = {"small": ("vgg11_bn", (128, 64, 32, 16, 8)), "usual": ("vgg13_bn", (256, 128, 64, 32, 16))}
"""Name -> their encoder and the widths of their decoder."""
OURS = {"small": (4, 32), "usual": (3, 48)}
"""Name -> stages and width of ours."""
REQUIRED = 1.1


def make_batch() -> tuple[Tensor, Tensor]:
    """Images (batch, 3, side, side) and masks (batch, side, side), drawn once."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=generator)
    return images, torch.randint(CLASSES, (BATCH, SIDE, SIDE), generator=generator)


def theirs(name: str) -> nn.Module:
    """Their U-Net."""
    torch.manual_seed(0)
    encoder, widths = ENCODERS[name]
    return smp.Unet(encoder, encoder_weights=None, decoder_channels=widths, classes=CLASSES).train()


def flops_per_pixel(network: nn.Module, images: Tensor) -> int:
    """Of a training step."""
    with FlopCounterMode(display=False) as counter:
        network(images).sum().backward()
    return counter.get_total_flops() // (BATCH * SIDE * SIDE)


def their_step(name: str, memory_format: torch.memory_format) -> Step:
    """A training step of theirs."""
    network = theirs(name).to(memory_format=memory_format)
    images, masks = make_batch()
    images = images.contiguous(memory_format=memory_format)
    return training_step(network, lambda: F.cross_entropy(network(images), masks))


def our_step(config: SegmenterConfig) -> Step:
    """A training step of ours."""
    torch.manual_seed(0)
    network = Segmenter(config).train().to(memory_format=torch.channels_last)
    images, masks = make_batch()
    images = images.contiguous(memory_format=torch.channels_last)

    def loss() -> Tensor:
        total, count = pixel_losses(
            network(images), masks, terms={"cross_entropy": 1.0}, class_weights=None, focal_gamma=2.0
        )
        return total / count

    return training_step(network, loss)


def faster_format(name: str) -> torch.memory_format:
    """The memory format in which theirs trains faster."""
    seconds = {}
    for memory_format in (torch.contiguous_format, torch.channels_last):
        step = their_step(name, memory_format)
        step()
        start = time.perf_counter()
        for _ in range(3):
            step()
        seconds[memory_format] = time.perf_counter() - start
    return min(seconds, key=lambda known: seconds[known])


def metrics_cost(repeats: int = 10) -> float:
    """What the metrics of a batch cost, in percent of a training step on it: the tiny experiment's network."""
    config = SegmenterConfig(num_stages=3, base_channels=16, num_classes=CLASSES)
    step, logits, masks = our_step(config), torch.randn(BATCH, CLASSES, SIDE, SIDE), make_batch()[1]

    def measure() -> None:
        confusion(predicted_classes(logits), masks, CLASSES)

    def seconds(act: Callable[[], object]) -> float:
        act()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            act()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    return with_threads(lambda: 100 * seconds(measure) / seconds(step))


def one(name: str, pairs: int, steps: int) -> Row:
    """Images/s of both, and the FLOPs of a pixel."""
    network, images = theirs(name), make_batch()[0]
    wanted = flops_per_pixel(network, images)
    stages, width = OURS[name]
    config = SegmenterConfig(num_stages=stages, base_channels=width, num_classes=CLASSES, upsampling="nearest")
    found = flops_per_pixel(Segmenter(config).train(), images)
    if abs(found / wanted - 1) > 0.05:
        raise RuntimeError(f"{name}: {found:,} FLOPs a pixel are not within 5 % of {wanted:,}")
    both = {"ours": our_step(config), "theirs": their_step(name, faster_format(name))}
    row = compare(both, tokens=BATCH, required=REQUIRED, pairs=pairs, steps=steps, apart=1.0)
    return {**row, "flops_ours": found, "flops_theirs": wanted, "base_channels": config.base_channels}


def measure(*, pairs: int = 8, steps: int = 2) -> dict[str, Row]:
    """Both comparisons: name -> ours and theirs (images/s), ratio, required, FLOPs; about 2 minutes on 2 cores."""
    return with_threads(
        lambda: {f"{name} ({ENCODERS[name][0]}), batch norm": one(name, pairs, steps) for name in ENCODERS}
    )


if __name__ == "__main__":
    main(measure, __doc__)
