"""From images and masks to checked, counted and kept pixels in the cache. Imports no torch."""

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import SegmenterConfig
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.cache import META, build_once, cache_root
from lit_transformer.data.encode import Progress
from lit_transformer.data.images.classes import IGNORED, check_num_classes, numbered
from lit_transformer.data.images.palette import Color, generated_colors, palette_colors
from lit_transformer.data.images.prepared import NAMES, PreparedImages
from lit_transformer.data.images.reading import Pixels
from lit_transformer.data.images.sources import ImageSet, open_images
from lit_transformer.data.images.store import PixelWriter, Reading, write_reading

FORMAT = 1
"""Version of the cache's files and of every rule that shapes them; a change makes every cache anew."""


def prepare_images(config: ExperimentConfig, *, progress: Progress | None = None) -> PreparedImages:
    """The images of an experiment, out of the cache where they are there already; says on standard error what.

    Every image and mask is read once. Raises UserError, naming the file, for everything that is wrong with them, and
    for classes, sizes and settings that do not fit.
    """
    assert isinstance(config.model, SegmenterConfig)
    found = open_images(config)
    if found.classes.names is not None:
        check_num_classes(config.model.num_classes, found.classes.names)
    fingerprint = _fingerprint(config, found)
    folder = cache_root() / "images" / fingerprint
    build_once(folder, lambda target: _build(config, found, target, progress) | {"fingerprint": fingerprint})
    prepared = PreparedImages.load(folder, json.loads((folder / META).read_text(encoding="utf-8")))
    _check_sizes(prepared, config.model, config.data.images.crop)
    print(f"data: {prepared.summary()}", file=sys.stderr, flush=True)
    return prepared


@dataclass
class _Counts:
    """Pixels of each split, and of each class in the training split."""

    pixels: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    of_class: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    of_its_images: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    largest: int = 0
    """The largest class of all splits."""

    def add(self, split: str, mask: Pixels) -> None:
        """Count a mask (height, width) of classes."""
        counts = np.bincount(mask.reshape(-1), minlength=256)  # (256,)
        counts[IGNORED] = 0
        counted = int(counts.sum())
        self.pixels[split] = self.pixels.get(split, 0) + counted
        self.sizes.setdefault(split, []).append((mask.shape[0], mask.shape[1]))
        self.largest = max(self.largest, int(np.flatnonzero(counts).max(initial=0)))
        if split == "train":
            self.of_class += counts
            self.of_its_images[counts > 0] += counted


def _fingerprint(config: ExperimentConfig, found: ImageSet) -> str:
    data, model = config.data, config.model
    assert isinstance(model, SegmenterConfig)
    settings = {
        "format": FORMAT,
        "source": data.source,
        "channels": model.in_channels,
        "height": data.images.height,
        "width": data.images.width,
        "max_pixels": data.images.max_pixels,
        "classes": found.classes.names,
        "colors": found.classes.colors,
        "table": found.classes.table().tolist(),
        # names say what is held out; places are needed where pixels are not kept
        "files": {split: pictures.files for split, pictures in found.splits.items()},
        "names": {split: list(pictures.names) for split, pictures in found.splits.items()},
        "content": {split: pictures.digest() for split, pictures in found.splits.items()},
    }
    return hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16).hexdigest()


def _build(config: ExperimentConfig, found: ImageSet, folder: Path, progress: Progress | None) -> dict[str, object]:
    """Writes the files of every split; returns what PreparedImages holds beside folder and fingerprint."""
    model, images = config.model, config.data.images
    assert isinstance(model, SegmenterConfig)
    table = found.classes.table()
    reading = Reading(
        channels=model.in_channels,
        height=images.height,
        width=images.width,
        max_pixels=images.max_pixels,
        table=tuple(table.tolist()),
    )
    writer = PixelWriter(folder)
    try:
        counts = _read_all(found, reading, writer, progress)
    finally:
        writer.close()
    for split in found.splits:
        sizes = np.array(counts.sizes.get(split, []), dtype=np.int64).reshape(-1, 2)  # (images, 2)
        (folder / f"{split}.sizes.bin").write_bytes(sizes.tobytes())
    write_reading(folder, reading, {split: pictures.files for split, pictures in found.splits.items()})
    names = {split: list(pictures.names) for split, pictures in found.splits.items()}
    (folder / NAMES).write_text(json.dumps(names), encoding="utf-8")
    classes = found.classes.names or numbered(max(counts.largest + 1, 2))
    return {
        "classes": classes,
        "colors": found.classes.colors or _colors(found, len(classes)),
        "images": {split: len(pictures.names) for split, pictures in found.splits.items()},
        "pixels": {split: counts.pixels.get(split, 0) for split in found.splits},
        "class_pixels": counts.of_class[: len(classes)].tolist(),
        "class_images_pixels": counts.of_its_images[: len(classes)].tolist(),
        "channels": model.in_channels,
        "kept": writer.kept,
    }


def _read_all(found: ImageSet, reading: Reading, writer: PixelWriter, progress: Progress | None) -> _Counts:
    total, done, counts = sum(len(pictures.names) for pictures in found.splits.values()), 0, _Counts()
    table = np.array(reading.table, dtype=np.uint8)
    for split, pictures in found.splits.items():
        for place, image, raw in pictures.read():
            found.classes.check_mask(raw, table, place)
            pixels, mask = reading.fit(image, raw)
            counts.add(split, mask)
            writer.add(split, pixels, mask)
            done += 1
            if progress:
                progress(done, total, "images")
    return counts


def _colors(found: ImageSet, count: int) -> tuple[Color, ...]:
    """Those of the first mask's palette, else generated ones."""
    files = found.splits["train"].files
    return (palette_colors(Path(files[0][1]), count) if files else None) or generated_colors(count)


def _check_sizes(prepared: PreparedImages, model: SegmenterConfig, crop: int | None) -> None:
    """Raise UserError for an image, or a crop, that the last stage would see as less than a pixel."""
    least = 1 << model.num_stages
    for split, count in prepared.images.items():
        store = prepared.store(split)
        shorter = store.sizes.min(axis=1)  # (images,)
        if count and int(shorter.min()) < least:
            index = int(shorter.argmin())
            height, width = store.sizes[index].tolist()
            raise UserError(
                f"{store.file(index) or prepared.names(split)[index]}: too small for the network\n"
                f"  got      {height} x {width} (height x width)\n"
                f"  allowed  {least} or more on each side = 2 ** {model.num_stages} (model.num_stages)\n"
                "  fix      set fewer model.num_stages, or data.images.height and width, or leave the image out"
            )
    if crop is not None and crop < least:
        raise UserError(
            f"data.images.crop: got {crop}\n  allowed  {least} or more = 2 ** {model.num_stages} (model.num_stages)"
        )
