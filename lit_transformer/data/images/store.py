"""Pixels of a split as training takes them, kept in the cache or read anew from the files.

numpy alone but for `load`, so that preparing imports no torch.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lit_transformer.data.blocks import IGNORED as NO_TARGET
from lit_transformer.data.images.classes import IGNORED
from lit_transformer.data.images.reading import Pixels, read_image, read_mask, resize, target_size

if TYPE_CHECKING:
    from torch import Tensor

READING = "reading.json"
"""In the folder of prepared images: how files become pixels, and which files there are."""

KEPT_BYTES = 2 << 30
"""Pixels of more than this, all splits together, are not kept but read from the files each time."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How an image and its mask become pixels."""

    channels: int
    height: int | None
    width: int | None
    max_pixels: int
    table: tuple[int, ...]
    """For each value of a mask its class, or IGNORED."""

    def fit(self, image: Pixels, raw: Pixels) -> tuple[Pixels, Pixels]:
        """Image (height, width, channels) and mask values to (channels, height, width) and classes, resized."""
        mask = np.array(self.table, dtype=np.uint8)[raw]
        size = target_size(raw.shape[0], raw.shape[1], self.height, self.width)
        image, mask = resize(image, mask, size)
        return image.transpose(2, 0, 1).copy(), mask.copy()  # (channels, height, width), (height, width)


class PixelWriter:
    """Writes the pixels of split after split into a folder, and takes all of them back where they get too many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._left = KEPT_BYTES

    @property
    def kept(self) -> bool:
        """Everything so far has been written."""
        return self._left >= 0

    def add(self, split: str, image: Pixels, mask: Pixels) -> None:
        """The next image (channels, height, width) of a split and its mask (height, width)."""
        self._left -= image.nbytes + mask.nbytes
        if not self.kept:
            self.close()
            for name in self._files:
                (self._folder / name).unlink(missing_ok=True)
            return
        for kind, pixels in (("images", image), ("masks", mask)):
            name = f"{split}.{kind}.bin"
            if name not in self._files:
                self._files[name] = (self._folder / name).open("wb")
            self._files[name].write(pixels.tobytes())

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class ImageStore:
    """The images of a split and their masks."""

    def __init__(self, folder: Path, split: str, *, kept: bool) -> None:
        self._folder, self._split, self._kept = folder, split, kept
        flat = np.fromfile(folder / f"{split}.sizes.bin", dtype=np.int64)
        self.sizes: NDArray[np.int64] = flat.reshape(-1, 2)
        """Height and width of each image, (images, 2)."""
        self._areas = self.sizes.prod(axis=1)  # (images,)
        self._starts = np.cumsum(self._areas) - self._areas  # (images,)

    def __len__(self) -> int:
        return len(self.sizes)

    def load(self, index: int) -> "tuple[Tensor, Tensor]":
        """An image, uint8 (channels, height, width), and its mask, int64 (height, width), -100 where ignored."""
        import torch

        image, mask = self.pixels(index)
        classes = torch.from_numpy(mask).long()
        return torch.from_numpy(image), classes.masked_fill_(classes == IGNORED, NO_TARGET)

    def pixels(self, index: int) -> tuple[Pixels, Pixels]:
        """An image (channels, height, width) and its mask (height, width), 255 where ignored; both may be written to.

        Raises UserError where a file that is read anew has gone or changed its size.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        return self._cut(index) if self._kept else self._read(index)

    def file(self, index: int) -> str | None:
        """The file of an image; None where it comes from none."""
        files = self._content["files"][self._split]
        return files[index][0] if files else None

    def _cut(self, index: int) -> tuple[Pixels, Pixels]:
        height, width = self.sizes[index].tolist()
        start, area, channels = int(self._starts[index]), height * width, self._reading.channels
        image = np.array(self._images[channels * start : channels * (start + area)])
        mask = np.array(self._masks[start : start + area])
        return image.reshape(channels, height, width), mask.reshape(height, width)

    def _read(self, index: int) -> tuple[Pixels, Pixels]:
        image, mask = (Path(path) for path in self._content["files"][self._split][index])
        reading = self._reading
        return reading.fit(read_image(image, reading.channels, reading.max_pixels), read_mask(mask, reading.max_pixels))

    @cached_property
    def _content(self) -> "dict[str, dict[str, list[list[str]]]]":
        found: dict[str, dict[str, list[list[str]]]] = json.loads((self._folder / READING).read_text(encoding="utf-8"))
        return found

    @cached_property
    def _reading(self) -> Reading:
        return Reading(**self._content["reading"])  # type: ignore[arg-type]

    @cached_property
    def _images(self) -> Pixels:
        return self._mapped("images")

    @cached_property
    def _masks(self) -> Pixels:
        return self._mapped("masks")

    def _mapped(self, kind: str) -> Pixels:
        return np.asarray(np.memmap(self._folder / f"{self._split}.{kind}.bin", dtype=np.uint8, mode="r"))


def write_reading(folder: Path, reading: Reading, files: dict[str, list[list[str]]]) -> None:
    """Writes how the files of each split, `[image, mask]` each, become pixels."""
    (folder / READING).write_text(json.dumps({"reading": asdict(reading), "files": files}), encoding="utf-8")
