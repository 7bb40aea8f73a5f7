"""The built-in set: circles, squares and triangles that overlap, the same on every machine. Imports no torch.

All arithmetic is in whole numbers, and random ones come from hashes and PCG64's raw stream, which numpy keeps: no
machine rounds them otherwise.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.generated.picks import Picks
from lit_transformer.data.images.reading import Pixels

SIDE = 96
"""Pixels of an image's height and width."""

SIZES = {"train": 2000, "val": 200, "test": 200}
"""Images of each split."""

CLASSES = ("background", "circle", "square", "triangle")
ONE_CLASS = ("background", "shape")
"""Where model.num_classes is 1."""

RADII = range(8, 25)
"""Of the circle around a shape, in pixels."""

COUNTS = range(2, 6)
"""Shapes of an image; a later one covers what is below it."""

UNIT = 1024
"""Length of a direction's vector, in whole numbers."""

Ints = NDArray[np.int32]
Window = tuple[slice, slice]
"""Rows and columns of an image."""

WHOLE: Window = (slice(None), slice(None))


def draw_split(split: str) -> Iterator[tuple[Pixels, Pixels]]:
    """Images (SIDE, SIDE, 3) of a split and their masks (SIDE, SIDE), in order."""
    for index in range(SIZES[split]):
        yield draw(split, index)


def draw(split: str, index: int) -> tuple[Pixels, Pixels]:
    """One image: a dark, textured ground, brighter shapes with finer textures, and noise on each channel."""
    picks = Picks("shapes", split, index)
    canvas = _paint(
        picks, WHOLE, colors=range(26, 103), periods=range(16, 33), amplitudes=range(8, 21)
    )  # (SIDE, SIDE, 3)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for number in range(picks.one(COUNTS)):
        shape = Picks("shapes", split, index, number)
        kind = shape.one(range(1, len(CLASSES)))
        window, inside = _inside(kind, shape)
        painted = _paint(shape, window, colors=range(128, 231), periods=range(4, 9), amplitudes=range(16, 33))
        canvas[window][inside] = painted[inside]
        mask[window][inside] = kind
    canvas += _noise(list(SIZES).index(split), index)
    return np.clip(canvas, 0, 255).astype(np.uint8), mask


def _grid() -> tuple[Ints, Ints]:
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.int32)
    return rows, columns


ROWS, COLUMNS = _grid()


def _direction(step: int, steps: int) -> tuple[int, int]:
    """A vector of length UNIT, `step` of `steps` parts of a turn: rounded, so that no machine's cosine matters."""
    angle = 2 * math.pi * step / steps
    return round(UNIT * math.cos(angle)), round(UNIT * math.sin(angle))


def _inside(kind: int, picks: Picks) -> tuple[Window, NDArray[np.bool_]]:
    """Where a shape of random radius, place and turn can be, and which pixels of that are in it."""
    radius = picks.one(RADII)
    places = range(RADII[0], SIDE - RADII[0])
    row, column = picks.one(places), picks.one(places)
    window = slice(max(row - radius, 0), row + radius + 1), slice(max(column - radius, 0), column + radius + 1)
    rows, columns = ROWS[window] - row, COLUMNS[window] - column
    if kind == 1:
        return window, rows * rows + columns * columns <= radius * radius
    sides = 4 if kind == 2 else 3
    turn = picks.one(range(360 // sides))
    apothem = round(UNIT * radius * math.cos(math.pi / sides))
    inside = np.ones(rows.shape, dtype=np.bool_)
    for side in range(sides):
        down, right = _direction(turn + side * 360 // sides, 360)
        inside &= rows * down + columns * right <= apothem
    return window, inside


def _paint(picks: Picks, window: Window, *, colors: range, periods: range, amplitudes: range) -> Ints:
    """A random colour with stripes of random direction, period in pixels and amplitude: (window's rows, columns, 3)."""
    color = np.array([picks.one(colors) for _ in range(3)], dtype=np.int32)
    down, right = _direction(picks.one(range(64)), 64)
    period, amplitude = picks.one(periods) * UNIT, picks.one(amplitudes)
    place = (ROWS[window] * down + COLUMNS[window] * right + picks.one(range(64)) * period // 64) % period
    wave = (np.abs(2 * place - period) * 2 - period) * amplitude // period  # from -amplitude to amplitude
    return color + wave[:, :, None]  # (rows, columns, 3)


def _noise(split: int, index: int) -> Ints:
    """Nearly Gaussian, of standard deviation 0.2 x 255: (SIDE, SIDE, 3)."""
    stream = np.random.PCG64(np.random.SeedSequence([1912, split, index]))
    raw = np.asarray(stream.random_raw(SIDE * SIDE * 3 // 2)).astype("<u8").view(np.uint8).reshape(-1, 4)
    total = raw[:, 0].astype(np.int32)
    for column in range(1, 4):
        total += raw[:, column]
    # four bytes add up to 510 on average, with a standard deviation of 147.8
    return ((total - 510) * 353 // 1024).reshape(SIDE, SIDE, 3)
