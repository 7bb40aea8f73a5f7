"""Colours of classes, and masks with a palette. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lit_transformer.data.images.reading import Pixels

Color = tuple[int, int, int]

IGNORED_COLOR: Color = (224, 224, 192)
"""VOC's colour of pixels that count nowhere, which have the palette's last index."""


def generated_colors(count: int) -> tuple[Color, ...]:
    """VOC's colours: the bits of an index, dealt to red, green and blue from their highest bits on."""
    return tuple(_color(index) for index in range(count))


def palette_colors(path: Path, count: int) -> tuple[Color, ...] | None:
    """The first colours of a mask's palette; None without one, with a shorter one and where it is only shades of grey.

    Grey in the order of the indices is what programs write who were given no colours.
    """
    with Image.open(path) as image:
        flat = image.getpalette() if image.mode == "P" else None
    colors = [(flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3)] if flat else []
    first = tuple(colors[:count])
    if len(first) < count or len(set(first)) < count or all(len(set(color)) == 1 for color in first):
        return None
    return first


def write_mask(path: Path, indices: Pixels, colors: Sequence[Color]) -> None:
    """Writes a mask (height, width) of indices as a PNG with a palette; 255 are pixels that count nowhere."""
    image = Image.fromarray(np.ascontiguousarray(indices, dtype=np.uint8))
    palette = [*colors, *[(0, 0, 0)] * (255 - len(colors)), IGNORED_COLOR]
    image.putpalette([value for color in palette for value in color])  # a grey image becomes one with a palette
    image.save(path, format="PNG")


def _color(index: int) -> Color:
    red = green = blue = 0
    for shift in range(7, -1, -1):
        red |= (index & 1) << shift
        green |= (index >> 1 & 1) << shift
        blue |= (index >> 2 & 1) << shift
        index >>= 3
    return red, green, blue
