"""Masks as pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.images.palette import IGNORED_COLOR, Color
from lit_transformer.data.images.reading import Pixels

WRONG_COLOR: Color = (230, 30, 30)


def painted(indices: NDArray[np.integer], colors: Sequence[Color]) -> Pixels:
    """Class indices (height, width) -> their colours (height, width, 3); of what is negative IGNORED_COLOR."""
    table = np.array([*colors, IGNORED_COLOR], dtype=np.uint8)  # (classes + 1, 3)
    return table[np.where(indices < 0, len(colors), indices)]


def as_color(image: Pixels) -> Pixels:
    """An image (height, width, 1 or 3) -> (height, width, 3)."""
    return np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.uint8)


def overlay(image: Pixels, indices: NDArray[np.integer], colors: Sequence[Color], *, opacity: float = 0.5) -> Pixels:
    """The image (height, width, 1 or 3) under its mask's colours: (height, width, 3); the first class stays clear."""
    share = np.where(indices[..., None] > 0, opacity, 0.0)  # (height, width, 1)
    mixed = as_color(image) * (1 - share) + painted(indices, colors) * share
    return mixed.round().astype(np.uint8)


def errors(image: Pixels, truth: NDArray[np.integer], predicted: NDArray[np.integer]) -> Pixels:
    """The image, paled, with each wrong pixel in red: (height, width, 3)."""
    pale = np.repeat((as_color(image).mean(axis=2, keepdims=True) / 2 + 120).astype(np.uint8), 3, axis=2)
    pale[(truth != predicted) & (truth >= 0)] = WRONG_COLOR
    return pale


def panel(
    images: Sequence[Pixels],
    truths: Sequence[NDArray[np.integer]],
    predictions: Sequence[NDArray[np.integer]],
    colors: Sequence[Color],
    *,
    gap: int = 4,
) -> Pixels:
    """A row for each image: itself, the truth, the prediction, the errors; on white, `gap` pixels apart."""
    rows = [
        [as_color(image), painted(truth, colors), painted(found, colors), errors(image, truth, found)]
        for image, truth, found in zip(images, truths, predictions, strict=True)
    ]
    height, width = (max(row[0].shape[axis] for row in rows) for axis in (0, 1))
    page = np.full((len(rows) * (height + gap) - gap, 4 * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * (height + gap), x * (width + gap)
            page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page
