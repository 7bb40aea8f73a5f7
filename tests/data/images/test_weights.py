"""Weights of classes, by hand."""

from pathlib import Path

import numpy as np
import pytest

from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.images.weights import class_weights


def counted(pixels: tuple[int, ...], among: tuple[int, ...]) -> PreparedImages:
    return PreparedImages(
        folder=Path(), classes=tuple(map(str, pixels)), colors=(), images={}, pixels={"train": sum(pixels)},
        class_pixels=pixels, class_images_pixels=among, fingerprint="", channels=3, kept=True,
    )  # fmt: skip


PIXELS, AMONG = (600, 300, 100, 0), (1000, 1000, 500, 0)
"""Two images of 500 pixels; the third class is in one of them, the fourth in none."""


def test_none() -> None:
    assert class_weights(counted(PIXELS, AMONG), "none") == (1.0, 1.0, 1.0, 1.0)


def test_inverse() -> None:
    found = class_weights(counted(PIXELS, AMONG), "inverse")
    assert found == pytest.approx((1000 / 3 / 600, 1000 / 3 / 300, 1000 / 3 / 100, 0))


def test_median_frequency() -> None:
    frequencies = np.array([600 / 1000, 300 / 1000, 100 / 500])
    raw = 0.3 / frequencies
    mean = float((raw * PIXELS[:3]).sum() / 1000)
    found = class_weights(counted(PIXELS, AMONG), "median_frequency")
    assert found == pytest.approx((*(raw / mean), 0))
    assert found[2] / found[1] == pytest.approx(1.5) and found[1] / found[0] == pytest.approx(2)  # SegNet's ratios


@pytest.mark.parametrize("how", ["none", "inverse", "median_frequency"])
@pytest.mark.parametrize("seed", range(10))
def test_their_mean_over_the_pixels_is_one(seed: int, how: str) -> None:
    generator = np.random.default_rng(seed)
    pixels = tuple(int(count) for count in generator.integers(0, 10_000, 7) * (generator.random(7) > 0.2))
    among = tuple(int(count * generator.uniform(1, 20)) for count in pixels)
    found = class_weights(counted(pixels, among), how)
    assert sum(w * n for w, n in zip(found, pixels, strict=True)) / sum(pixels) == pytest.approx(1)
    assert all((weight == 0) == (count == 0) for weight, count in zip(found, pixels, strict=True)) or how == "none"


def test_without_any_pixel_there_is_nothing_to_weigh() -> None:
    assert class_weights(counted((0, 0), (0, 0)), "inverse") == (0.0, 0.0)
