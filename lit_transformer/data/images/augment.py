"""Changes of a training image and its mask, the same for both, by torchvision v2.

What is random comes from a generator that is given; no global random state is read or moved.
"""

import numpy as np
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from lit_transformer.config.schema import ImageConfig
from lit_transformer.data.blocks import IGNORED as NO_TARGET
from lit_transformer.data.images.classes import IGNORED


def augment(
    image: Tensor, mask: Tensor, settings: ImageConfig, size: tuple[int, int], generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Image uint8 (channels, h, w) and mask uint8 (h, w), scaled, cut, mirrored and coloured, both of `size`.

    A scaled image larger than `size` is cut at a random place; where it is smaller, black pixels that count nowhere
    (255 in the mask) surround it, more or less on each side at random. The factor's logarithm is uniform.
    """
    # all at once and always as many: what one setting draws does not depend on the others
    draws = generator.random(10)
    picture, classes = tv_tensors.Image(image), tv_tensors.Mask(mask[None])  # (channels, h, w), (1, h, w)
    picture, classes = _zoom(picture, classes, settings.scale ** (2 * draws[0] - 1), size, draws[1], draws[2])
    if settings.flip and draws[3] < 0.5:
        picture, classes = v2.horizontal_flip(picture), v2.horizontal_flip(classes)
    picture = _recolour(picture, settings, draws[4:8])
    picture, classes = _pad(picture, classes, size, draws[8], draws[9])
    return picture.as_subclass(Tensor), classes.as_subclass(Tensor)[0]


def _zoom(
    image: Tensor, mask: Tensor, factor: float, size: tuple[int, int], down: float, right: float
) -> tuple[Tensor, Tensor]:
    """Cuts the region that `size` shows at this scale, `down` and `right` of it as shares of what is left, resized."""
    height, width = int(image.shape[-2]), int(image.shape[-1])
    (top, rows, new_height), (left, columns, new_width) = (
        _span(length, wished, factor, share)
        for length, wished, share in ((height, size[0], down), (width, size[1], right))
    )
    if (rows, columns) != (height, width):
        image, mask = (v2.crop(part, top, left, rows, columns) for part in (image, mask))
    if (rows, columns) == (new_height, new_width):
        return image, mask
    shape = [new_height, new_width]
    # torch's plain nearest takes a pixel's corner, and moves a mask against its image by up to half a pixel
    as_image = tv_tensors.Image(mask.as_subclass(Tensor))  # older torchvision resizes a Mask by nearest alone
    resized = v2.resize(as_image, shape, interpolation=InterpolationMode.NEAREST_EXACT)
    return v2.resize(image, shape, antialias=True), tv_tensors.Mask(resized.as_subclass(Tensor))


def _span(length: int, wished: int, factor: float, share: float) -> tuple[int, int, int]:
    """Along one side: where the region begins, its length, and its length after resizing, `wished` at most."""
    region = min(length, max(round(wished / factor), 1))
    resized = wished if region < length else min(max(round(length * factor), 1), wished)
    return int(share * (length - region + 1)), region, resized


def _recolour(image: Tensor, settings: ImageConfig, draws: np.ndarray) -> Tensor:
    """Brightness, contrast, saturation, hue in this order, each changed by its setting at most."""
    shifts = 2 * draws - 1  # (4,), from -1 to 1
    if settings.brightness:
        image = v2.adjust_brightness(image, 1 + settings.brightness * shifts[0])
    if settings.contrast:
        image = v2.adjust_contrast(image, max(1 + settings.contrast * shifts[1], 0.0))
    if settings.saturation:
        image = v2.adjust_saturation(image, 1 + settings.saturation * shifts[2])
    if settings.hue:
        image = v2.adjust_hue(image, settings.hue * shifts[3])
    return image


def _pad(image: Tensor, mask: Tensor, size: tuple[int, int], down: float, right: float) -> tuple[Tensor, Tensor]:
    """Surrounds both up to `size`, with a `down` share of the missing rows above and `right` of the columns before."""
    missing = size[0] - int(image.shape[-2]), size[1] - int(image.shape[-1])
    if missing == (0, 0):
        return image, mask
    top, left = int(down * (missing[0] + 1)), int(right * (missing[1] + 1))
    sides = [left, top, missing[1] - left, missing[0] - top]
    return v2.pad(image, sides, fill=0), v2.pad(mask, sides, fill=IGNORED)


def to_targets(masks: Tensor) -> Tensor:
    """Kept masks, uint8 with 255 where ignored, to int64 with -100, of the same shape."""
    wide = masks.long()
    return wide.masked_fill_(masks == IGNORED, NO_TARGET)
