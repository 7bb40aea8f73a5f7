"""Large images in overlapping windows, whose seams cannot be seen: each gives only what it has seen whole."""

import math
from collections.abc import Callable, Iterator

from torch import Tensor
from torch.nn import functional as F

from lit_transformer.config.models import SegmenterConfig


def reach(config: SegmenterConfig) -> int:
    """How far a pixel's logits look in each direction at most, in pixels, a multiple of the network's stride."""
    convs, stages = config.convs_per_stage, config.num_stages
    steps = 0
    for stage in range(stages):
        scale = 2**stage
        steps += 2 * convs * scale  # convolutions of the encoder's stage and of the decoder's
        steps += scale  # halving: one more row of it at most
        steps += 2 * scale  # doubling again, between two rows
    steps += convs * 2**stages + config.head_kernel // 2
    return math.ceil(steps / 2**stages) * 2**stages


def windows(size: int, window: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Along one side: what a window reads, which part of its answer is kept, and where that belongs.

    Every place is kept once, at least `margin` from a window's edge that is not the image's.
    """
    if size <= window:
        yield slice(0, size), slice(0, size), slice(0, size)
        return
    core = window - 2 * margin
    for start in range(0, size, core):
        stop = min(start + core, size)
        left, right = max(start - margin, 0), min(stop + margin, size)
        yield slice(left, right), slice(start - left, stop - left), slice(start, stop)


def in_windows(network: Callable[[Tensor], Tensor], images: Tensor, *, window: int, margin: int, stride: int) -> Tensor:
    """The logits of images (batch, channels, height, width) from windows of `window` pixels: as if seen whole.

    Exactly so where the network has no normalisation over the whole image. Windows begin at multiples of `stride`, as
    the network's halvings do. Raises ValueError where a window has no room for its margins.
    """
    height, width = images.shape[-2:]
    window, margin = window // stride * stride, math.ceil(margin / stride) * stride
    if window <= 2 * margin and max(height, width) > window:
        raise ValueError(f"a window of {window} pixels has no room for margins of {margin} on both sides")
    whole: Tensor | None = None
    for rows, kept_rows, to_rows in windows(height, window, margin):
        for columns, kept_columns, to_columns in windows(width, window, margin):
            part = network(images[..., rows, columns])[..., kept_rows, kept_columns]
            if whole is None:
                whole = part.new_empty(*part.shape[:2], height, width)  # (batch, num_logits, height, width)
            whole[..., to_rows, to_columns] = part
    assert whole is not None
    return whole


def resized(logits: Tensor, height: int, width: int) -> Tensor:
    """Logits (batch, classes, ...) of another size, smoothly: (batch, classes, height, width)."""
    if logits.shape[-2:] == (height, width):
        return logits
    return F.interpolate(logits, (height, width), mode="bilinear")  # (batch, classes, height, width)
