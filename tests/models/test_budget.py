"""Widths at equal FLOPs."""

import itertools
from dataclasses import replace

import pytest

from lit_transformer.config.models import SegmenterConfig
from lit_transformer.models.budget import base_channels_for
from lit_transformer.models.flops import training_cost

CONFIG = SegmenterConfig(base_channels=16, num_stages=2, num_classes=4, convs_per_stage=1)


def cost(config: SegmenterConfig) -> int:
    return training_cost(config, "segmentation").flops_per_token


@pytest.mark.parametrize("base_channels", [1, 2, 3, 17, 32])
def test_its_own_cost_gives_its_own_width(base_channels: int) -> None:
    config = replace(CONFIG, base_channels=base_channels)
    assert base_channels_for(CONFIG, cost(config)) == config


@pytest.mark.parametrize(
    ("upsampling", "skip"), itertools.product(("bilinear", "transposed", "pixel_shuffle"), ("none", "concat", "add"))
)
def test_the_nearest_width_within_five_per_cent(upsampling, skip) -> None:
    target = cost(replace(CONFIG, base_channels=24))
    solved = base_channels_for(replace(CONFIG, upsampling=upsampling, skip=skip), target)
    assert (solved.upsampling, solved.skip) == (upsampling, skip)
    distances = {
        width: abs(cost(replace(solved, base_channels=width)) - target)
        for width in range(solved.base_channels - 2, solved.base_channels + 3)
    }
    assert min(distances, key=lambda width: distances[width]) == solved.base_channels
    assert distances[solved.base_channels] < 0.05 * target


def test_less_than_one_channel_costs_is_one_channel() -> None:
    assert base_channels_for(CONFIG, 1).base_channels == 1
