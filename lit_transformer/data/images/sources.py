"""Where images and masks come from. Imports no torch, but for torchvision's own data sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import SegmenterConfig
from lit_transformer.config.schema import DataConfig, ExperimentConfig
from lit_transformer.data.files import digest_files
from lit_transformer.data.images import shapes
from lit_transformer.data.images.classes import ClassList, listed_classes, numbered
from lit_transformer.data.images.pairs import Pair, match_pairs, read_list, split_pairs
from lit_transformer.data.images.palette import generated_colors
from lit_transformer.data.images.reading import Pixels, read_image, read_mask
from lit_transformer.data.locate import candidates

ROLES = {"train": "", "val": "val_", "test": "test_"}
"""Split -> what is before `path` and `mask_path` in its settings."""


class Pictures(Protocol):
    """The images of a split."""

    @property
    def names(self) -> Sequence[str]:
        """The images' names."""

    @property
    def files(self) -> list[list[str]]:
        """Image and mask of each; none where they come from no file."""

    def digest(self) -> str:
        """Hash of the content."""

    def read(self) -> Iterator[tuple[str, Pixels, Pixels]]:
        """The mask's place for messages, the image (height, width, channels) and the mask's values (height, width)."""


@dataclass(frozen=True)
class FilePictures:
    """Images and masks in files."""

    pairs: Sequence[Pair]
    channels: int
    max_pixels: int

    @property
    def names(self) -> Sequence[str]:
        """The images' names."""
        return [pair.name for pair in self.pairs]

    @property
    def files(self) -> list[list[str]]:
        """Image and mask of each."""
        return [[str(pair.image.resolve()), str(pair.mask.resolve())] for pair in self.pairs]

    def digest(self) -> str:
        """Hash of the files' contents."""
        return digest_files([path for pair in self.pairs for path in (pair.image, pair.mask)])

    def read(self) -> Iterator[tuple[str, Pixels, Pixels]]:
        """Each pair; raises UserError for a file that cannot be read, and for a mask of another size."""
        for pair in self.pairs:
            image = read_image(pair.image, self.channels, self.max_pixels)
            mask = read_mask(pair.mask, self.max_pixels)
            if image.shape[:2] != mask.shape:
                raise UserError(
                    f"{pair.mask}: the mask has another size than its image {pair.image}\n"
                    f"  got      {mask.shape[0]} x {mask.shape[1]} (height x width)\n"
                    f"  allowed  {image.shape[0]} x {image.shape[1]}, the image's, turned as its EXIF orientation says"
                )
            yield str(pair.mask), image, mask


@dataclass(frozen=True)
class DrawnPictures:
    """The built-in set."""

    split: str
    channels: int
    files: list[list[str]] = field(default_factory=list)

    @property
    def names(self) -> Sequence[str]:
        """Numbers, from 0."""
        return [f"{self.split}-{index:04}" for index in range(shapes.SIZES[self.split])]

    def digest(self) -> str:
        """Nothing that the version of the cache does not say."""
        return self.split

    def read(self) -> Iterator[tuple[str, Pixels, Pixels]]:
        """The images, drawn one after another; grey is the mean of the channels."""
        for index, (image, mask) in enumerate(shapes.draw_split(self.split)):
            shown = image if self.channels == 3 else image.mean(axis=2, keepdims=True).astype(np.uint8)
            yield f"builtin {self.split} {index}", shown, mask  # (height, width, channels), (height, width)


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """The splits of a data set and its classes."""

    splits: dict[str, Pictures]
    classes: ClassList


def open_images(config: ExperimentConfig) -> ImageSet:
    """The images of an experiment, none of them read yet.

    Raises UserError for files that are not found or not matched, settings that do not go together, and a download that
    fails.
    """
    data, model = config.data, config.model
    assert isinstance(model, SegmenterConfig)
    if data.source == "builtin":
        _refuse(data, ("", "val_", "test_"), ("path", "mask_path"), "reads no files")
        return _builtin(data, model)
    pictures = partial(FilePictures, channels=model.in_channels, max_pixels=data.images.max_pixels)
    if data.source in ("pets", "voc"):
        from lit_transformer.data.images.torchvision_sets import open_pets, open_voc

        _refuse(data, ("val_", "test_"), ("path",), "has splits of its own")
        _refuse(data, ("", "val_", "test_"), ("mask_path",), "finds its masks itself")
        given, classes = open_pets(data, model.num_classes) if data.source == "pets" else open_voc(data)
    else:
        given, classes = _given_pairs(data), _given_classes(data, model.num_classes)
    splits = split_pairs(given, data)
    return ImageSet(splits={split: pictures(pairs) for split, pairs in splits.items()}, classes=_renamed(classes, data))


def _builtin(data: DataConfig, model: SegmenterConfig) -> ImageSet:
    names: tuple[str, ...] = shapes.CLASSES
    values = None
    if model.num_classes == 1:
        names, values = shapes.ONE_CLASS, {value: min(value, 1) for value in range(len(shapes.CLASSES))}
    classes = ClassList(names=names, colors=generated_colors(len(names)), values=values, ignored=data.ignore_index)
    splits: dict[str, Pictures] = {split: DrawnPictures(split, model.in_channels) for split in shapes.SIZES}
    return ImageSet(splits=splits, classes=_renamed(classes, data))


def _given_pairs(data: DataConfig) -> dict[str, list[Pair]]:
    given: dict[str, list[Pair]] = {}
    for split, prefix in ROLES.items():
        path, mask_path = getattr(data, f"{prefix}path"), getattr(data, f"{prefix}mask_path")
        if mask_path and not path:
            raise UserError(
                f"data.{prefix}mask_path: got {mask_path!r}, and data.{prefix}path is null\n"
                f"  fix      set data.{prefix}path to its images"
            )
        if path:
            given[split] = match_pairs(path, mask_path, prefix) if mask_path else _listed_pairs(path, prefix)
    return given


def _listed_pairs(path: str, prefix: str) -> list[Pair]:
    if any(found.is_dir() for found in candidates(path)):
        raise UserError(
            f"data.{prefix}path: {path} is a folder, and data.{prefix}mask_path is null\n"
            "  allowed  a folder or glob of images with one of masks, or a file that lists pairs\n"
            f"  fix      set data.{prefix}mask_path to the folder of the masks"
        )
    return read_list(path, f"data.{prefix}path")


def _given_classes(data: DataConfig, num_classes: int | None) -> ClassList:
    if data.classes:
        return listed_classes(data.classes, data.ignore_index)
    return ClassList(names=None if num_classes is None else numbered(max(num_classes, 2)), ignored=data.ignore_index)


def _renamed(classes: ClassList, data: DataConfig) -> ClassList:
    """The same classes with the names that data.classes gives, where the set has its own."""
    if data.classes is None or classes.names is None or data.source == "images":
        return classes
    given = listed_classes(data.classes, data.ignore_index)
    assert given.names is not None
    if len(given.names) != len(classes.names):
        raise UserError(
            f"data.classes: got {len(given.names)} names, and data.source={data.source} has {len(classes.names)} "
            f"classes\n  allowed  as many, in the order {', '.join(classes.names)}\n  fix      data.classes=null"
        )
    return ClassList(
        names=given.names, colors=given.colors or classes.colors, values=classes.values, ignored=classes.ignored
    )


def _refuse(data: DataConfig, prefixes: Sequence[str], names: Sequence[str], why: str) -> None:
    for key in (f"{prefix}{name}" for prefix in prefixes for name in names):
        if value := getattr(data, key):
            raise UserError(
                f"data.{key}: got {value!r}, but data.source={data.source} {why}\n"
                f"  fix      leave data.{key} out, or set another data.source"
            )
