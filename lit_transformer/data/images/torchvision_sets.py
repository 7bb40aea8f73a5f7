"""Oxford-IIIT Pet and VOC 2012 by torchvision, which downloads them where their folders are not there."""

import urllib.error
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torchvision.datasets import OxfordIIITPet, VOCSegmentation
from torchvision.datasets.voc import DATASET_YEAR_DICT

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.images.classes import IGNORED, ClassList
from lit_transformer.data.images.pairs import Pair
from lit_transformer.data.images.palette import generated_colors
from lit_transformer.data.locate import candidates

PETS_URLS = tuple(url for url, _ in OxfordIIITPet._RESOURCES)
VOC_URLS = (DATASET_YEAR_DICT["2012"]["url"],)

VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

BORDER = 3
"""Value of a pet's outline in a trimap, where 1 is the pet and 2 the background."""


def open_pets(data: DataConfig, num_classes: int | None) -> tuple[dict[str, list[Pair]], ClassList]:
    """`trainval` and `test` of Oxford-IIIT Pet, and its classes: background 0, pet 1, border 2.

    With model.num_classes 1 or 2, or data.ignore_index 3, the border counts nowhere: its authors leave it unclassified.
    Raises UserError where the download fails.
    """
    root = _root(data)
    there = all((root / "oxford-iiit-pet" / name).is_dir() for name in ("images", "annotations"))

    def read(split: str) -> list[Pair]:
        found = OxfordIIITPet(root, split, target_types="segmentation", download=not there)
        return _pairs(found._images, found._segs)

    given = _downloaded(read, {"train": "trainval", "test": "test"}, PETS_URLS, root / "oxford-iiit-pet")
    names: tuple[str, ...] = ("background", "pet", "border")
    values = {1: 1, 2: 0, BORDER: 2}
    if num_classes in (1, 2) or data.ignore_index == BORDER:
        names, values[BORDER] = names[:2], IGNORED
    return given, ClassList(names=names, colors=generated_colors(len(names)), values=values, ignored=data.ignore_index)


def open_voc(data: DataConfig) -> tuple[dict[str, list[Pair]], ClassList]:
    """VOC 2012's `train`, from which validation is held out, and its `val` as the test split, since `test` is secret.

    There are 21 classes; 255, the outlines, counts nowhere. Raises UserError where the download fails.
    """
    root = _root(data)
    there = (root / "VOCdevkit" / "VOC2012").is_dir()

    def read(split: str) -> list[Pair]:
        found = VOCSegmentation(root, year="2012", image_set=split, download=not there)
        return _pairs(found.images, found.masks)

    given = _downloaded(read, {"train": "train", "test": "val"}, VOC_URLS, root)
    ignored = IGNORED if data.ignore_index is None else data.ignore_index
    return given, ClassList(names=VOC_CLASSES, colors=generated_colors(len(VOC_CLASSES)), ignored=ignored)


def _root(data: DataConfig) -> Path:
    """The first folder of the name that is there, else the one to be made."""
    assert data.path is not None
    found = candidates(data.path)
    return next((path for path in found if path.is_dir()), found[0])


def _pairs(images: Sequence[Any], masks: Sequence[Any]) -> list[Pair]:
    return [Pair(Path(image).name, Path(image), Path(mask)) for image, mask in zip(images, masks, strict=True)]


def _downloaded(
    read: Callable[[str], list[Pair]], splits: dict[str, str], urls: Sequence[str], folder: Path
) -> dict[str, list[Pair]]:
    try:
        return {split: read(name) for split, name in splits.items()}
    except (OSError, RuntimeError, ValueError, EOFError, urllib.error.URLError) as error:
        listed = "\n           ".join(urls)
        raise UserError(
            f"data.path: the data set is not in {folder}, or not whole, and could not be downloaded ({error})\n"
            f"  fix      download by hand and unpack there\n           {listed}"
        ) from error
