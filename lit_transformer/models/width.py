"""The width at which a segmenter costs as much as another: sweeps of its parts at equal FLOPs."""

from dataclasses import replace

from lit_transformer.config.models import SegmenterConfig
from lit_transformer.models.flops import training_cost


def base_channels_for(config: SegmenterConfig, flops_per_pixel: int) -> SegmenterConfig:
    """The settings with the base_channels whose training FLOPs a pixel are nearest to the given ones.

    Steps of one channel; of two equally near ones the narrower. A target below the cost of one channel gives one.
    """
    low, high = 1, 2
    while _cost(config, high) < flops_per_pixel:
        low, high = high, 2 * high
    while high - low > 1:  # the cost grows with the width, and reaches the target at `high` first
        middle = (low + high) // 2
        low, high = (middle, high) if _cost(config, middle) < flops_per_pixel else (low, middle)
    best = min((low, high), key=lambda channels: abs(_cost(config, channels) - flops_per_pixel))
    return replace(config, base_channels=best)


def _cost(config: SegmenterConfig, base_channels: int) -> int:
    return training_cost(replace(config, base_channels=base_channels), "segmentation").flops_per_token
