"""A large image in windows is the image seen whole."""

import dataclasses

import pytest
import torch

from lit_transformer.config.models import PRESETS, SegmenterConfig
from lit_transformer.inference.tiles import in_windows, reach, resized, windows
from lit_transformer.models.segmenter import Segmenter

SMALL = SegmenterConfig(num_stages=2, base_channels=4, num_classes=3, norm="none")
NETWORKS = {
    "bilinear": SMALL,
    "nearest, add": dataclasses.replace(SMALL, upsampling="nearest", skip="add"),
    "transposed, stride": dataclasses.replace(SMALL, upsampling="transposed", downsampling="stride"),
    "pixel_shuffle": dataclasses.replace(SMALL, upsampling="pixel_shuffle", skip="none"),
    "batch norm": dataclasses.replace(SMALL, norm="batch"),
    "one convolution, three stages": dataclasses.replace(SMALL, convs_per_stage=1, num_stages=3),
    "plain": SegmenterConfig(**{**PRESETS["plain"], "base_channels": 8}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_windows_change_nothing(name):
    config = NETWORKS[name]
    torch.manual_seed(0)
    network = Segmenter(config).double().eval()
    margin, stride = reach(config), 2**config.num_stages
    window = 2 * margin + 2 * stride
    images = torch.randn(1, 3, 2 * window + 7, window + 13, dtype=torch.float64)
    with torch.no_grad():
        whole = network(images)
        parts = in_windows(network, images, window=window, margin=margin, stride=stride)
    torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_no_guess(name):
    """What lies farther away than the reach has no gradient, and half of it is too little."""
    config = NETWORKS[name]
    torch.manual_seed(0)
    network = Segmenter(config).eval()
    margin = reach(config)
    images = torch.randn(1, 3, 4 * margin + 8, 8, requires_grad=True)
    middle = 2 * margin + 4
    network(images)[:, :, middle].sum().backward()
    seen = images.grad.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0]
    farthest = max(middle - int(seen.min()), int(seen.max()) - middle)
    assert margin / 4 < farthest <= margin


@pytest.mark.parametrize(
    ("size", "window", "margin"), [(10, 16, 4), (16, 16, 4), (17, 16, 4), (100, 24, 8), (96, 24, 8)]
)
def test_every_place_is_kept_once_and_away_from_a_windows_edge(size, window, margin):
    kept = []
    for read, inner, place in windows(size, window, margin):
        assert read.stop - read.start <= window
        assert range(read.start, read.stop)[inner] == range(size)[place]
        assert read.start == 0 or inner.start >= margin
        assert read.stop == size or read.stop - read.start - inner.stop >= margin
        kept += range(size)[place]
    assert kept == list(range(size))


def test_a_window_without_room_is_refused():
    with pytest.raises(ValueError, match="a window of 16 pixels has no room for margins of 8"):
        in_windows(lambda x: x, torch.zeros(1, 1, 40, 40), window=16, margin=8, stride=4)


def test_logits_of_the_same_size_are_untouched():
    logits = torch.randn(1, 3, 6, 8)
    assert resized(logits, 6, 8) is logits
    flat = torch.full((1, 1, 5, 5), 7.5)
    torch.testing.assert_close(resized(flat, 9, 11), torch.full((1, 1, 9, 11), 7.5))
