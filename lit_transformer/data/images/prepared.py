"""Prepared images: what a run needs to know of them, and where their pixels lie."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # text needs no Pillow, and takes 40 ms less to start without
    from lit_transformer.data.images.store import ImageStore

NAMES = "names.json"
"""In the folder of prepared images: the names of the images of each split."""


@dataclass(frozen=True, kw_only=True)
class PreparedImages:
    """Images with a class for each pixel, checked and counted, resized where asked for."""

    folder: Path
    """Where names and sizes lie, and the pixels unless they are too many."""
    classes: tuple[str, ...]
    """Names by index; with model.num_classes 1 there are two, the background's first."""
    colors: tuple[tuple[int, int, int], ...]
    """Red, green and blue of each class."""
    images: dict[str, int]
    """Images of each split."""
    pixels: dict[str, int]
    """Pixels of each split that count."""
    class_pixels: tuple[int, ...]
    """Pixels of each class in the training split."""
    class_images_pixels: tuple[int, ...]
    """Pixels that count in the training images in which the class occurs."""
    fingerprint: str
    """Hash of the files and of the settings that shape the pixels."""
    channels: int
    kept: bool
    """The pixels lie in the folder; else they are read from the files each time."""

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, object]) -> "PreparedImages":
        """From a folder and what its meta.json holds."""
        fields = {name: meta[name] for name in cls.__dataclass_fields__ if name != "folder"}
        for name in ("classes", "class_pixels", "class_images_pixels"):
            fields[name] = tuple(fields[name])  # type: ignore[arg-type]
        fields["colors"] = tuple(tuple(color) for color in fields["colors"])  # type: ignore[attr-defined]
        return cls(folder=folder, **fields)  # type: ignore[arg-type]

    def store(self, split: str) -> "ImageStore":
        """The pixels of a split."""
        from lit_transformer.data.images.store import ImageStore

        return ImageStore(self.folder, split, kept=self.kept)

    def names(self, split: str) -> list[str]:
        """The images' names, in order."""
        found: list[str] = json.loads((self.folder / NAMES).read_text(encoding="utf-8"))[split]
        return found

    def summary(self) -> str:
        """One line for a person: how much there is, and what is rare or missing."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.images.items())
        sizes = {tuple(size) for split in self.images for size in self.store(split).sizes.tolist()}
        first = " x ".join(map(str, min(sizes)))
        shown = first if len(sizes) == 1 else f"{len(sizes)} sizes from {first} on"
        total = max(sum(self.class_pixels), 1)
        shares = zip(self.classes, self.class_pixels, strict=True)
        parts = [
            f"{counts} images of {shown} (height x width)",
            f"{len(self.classes)} classes ({', '.join(f'{name} {count / total:.1%}' for name, count in shares)})",
        ]
        if missing := [name for name, count in zip(self.classes, self.class_pixels, strict=True) if not count]:
            parts.append(f"no training pixel has {', '.join(missing)}")
        if not self.kept:
            parts.append("too many pixels to keep: they are read from the files each time")
        return "; ".join(parts)
