"""Images and masks out of files of any kind that Pillow reads, checked before they are decoded. Imports no torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lit_transformer.config.errors import UserError

Pixels = NDArray[np.uint8]

MASK_MODES = ("P", "L", "1")
"""Pillow's names of the modes that hold an index: palette, grey, black and white."""

WIDENED = {"L;2": 85, "L;4": 17}
"""Grey of 2 and of 4 bits, which Pillow multiplies by this to fill 8."""


def read_image(path: Path, channels: int, max_pixels: int) -> Pixels:
    """An image, turned as its EXIF orientation says, in colour (3 channels) or grey (1): (height, width, channels).

    Palettes, CMYK, colour and grey are converted, alpha is dropped. Raises UserError for a file that cannot be read or
    decoded, more than `max_pixels`, and 16 bits, since nothing says how they are scaled.
    """
    image, _ = _decoded(path, max_pixels, lambda image: image.convert("RGB" if channels == 3 else "L"))
    return np.asarray(image).reshape(image.height, image.width, channels)


def read_mask(path: Path, max_pixels: int) -> Pixels:
    """The values of a palette or grey mask as they are stored: (height, width).

    Raises UserError like `read_image`, and where a mask holds colours.
    """
    image, raw_mode = _decoded(path, max_pixels, lambda image: image)
    if image.mode not in MASK_MODES:
        raise UserError(
            f"{path}: a mask of colours or alpha (Pillow's mode {image.mode}), where each pixel must hold its class\n"
            "  allowed  a palette or grey image of 8 bits whose values are the indices of classes\n"
            "  fix      write the indices, for example with Pillow: Image.fromarray(indices.astype('uint8')).save(...)"
        )
    return np.asarray(image).astype(np.uint8) // WIDENED.get(raw_mode, 1)


def target_size(height: int, width: int, to_height: int | None, to_width: int | None) -> tuple[int, int]:
    """Height and width after resizing, where one of the wished ones may follow from the other."""
    if to_height is None and to_width is None:
        return height, width
    if to_height is None:
        return max(round(height * (to_width or 1) / width), 1), to_width or 1
    return to_height, to_width or max(round(width * to_height / height), 1)


def resize(image: Pixels, mask: Pixels, size: tuple[int, int]) -> tuple[Pixels, Pixels]:
    """Image (height, width, channels), bilinear with antialias, and mask (height, width), nearest, at another size."""
    height, width, channels = image.shape
    if (height, width) == size:
        return image, mask
    shape = size[::-1]
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    resized = np.asarray(picture.resize(shape, Image.Resampling.BILINEAR)).reshape(*size, channels)
    return resized, np.asarray(Image.fromarray(mask).resize(shape, Image.Resampling.NEAREST))


def _decoded(path: Path, max_pixels: int, convert: Callable[[Image.Image], Image.Image]) -> tuple[Image.Image, str]:
    """The image, upright and converted, and how its file stores a pixel."""
    try:
        with _without_pillows_limit(), Image.open(path) as image:
            raw_mode = _raw_mode(image)
            _check(path, image, raw_mode, max_pixels)
            image.load()
            return convert(ImageOps.exif_transpose(image)), raw_mode
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: not an image, or of a kind that Pillow does not read") from error
    except Exception as error:  # a broken file makes Pillow raise errors of many kinds
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        raise UserError(f"{path}: a broken image ({error})\n  fix      fetch or write the file again") from error


def _check(path: Path, image: Image.Image, raw_mode: str, max_pixels: int) -> None:
    """Before anything is decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise UserError(
            f"{path}: too large, {width} x {height} = {width * height:,} pixels\n"
            f"  allowed  {max_pixels:,} (data.images.max_pixels)\n"
            "  fix      make it smaller, or raise data.images.max_pixels if the memory allows"
        )
    if image.mode.startswith(("I", "F")) or ";16" in raw_mode:
        raise UserError(
            f"{path}: 16 bits or more a channel (Pillow's mode {image.mode}, stored as {raw_mode})\n"
            "  allowed  8 bits: nothing says whether its values fill 16 bits, 12 or fewer\n"
            "  fix      convert it to 8 bits with the scaling that is right for it"
        )


def _raw_mode(image: Image.Image) -> str:
    """How a pixel is stored in the file; Pillow takes the lower half of 16 bits away without a word."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return image.mode
    args = tiles[0][3]
    return str(args[0] if isinstance(args, tuple) and args else args)


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """`max_pixels` takes its place; it is the whole process's, so it is put back."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
