"""Small images and masks in files."""

import dataclasses
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from lit_transformer.config.models import SegmenterConfig
from lit_transformer.config.schema import DataConfig, ExperimentConfig, ImageConfig, TrainerConfig
from lit_transformer.data.images.prepare import prepare_images
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.images.reading import Pixels

FOLDERS = {"path": "images", "mask_path": "masks"}


def experiment(
    *,
    model: dict[str, object] | None = None,
    images: dict[str, object] | None = None,
    trainer: dict[str, object] | None = None,
    seed: int = 0,
    **data: object,
) -> ExperimentConfig:
    """A segmentation of the pairs in `images` and `masks`, as far as nothing else is said."""
    settings: dict[str, object] = {"source": "images", "batch_size": 4, **(FOLDERS if "path" not in data else {})}
    if data.get("source", "images") != "images":
        settings = {"batch_size": 4}
    return ExperimentConfig(
        task="segmentation",
        model=dataclasses.replace(SegmenterConfig(num_stages=2), **(model or {})),
        data=DataConfig(images=ImageConfig(**(images or {})), **(settings | data)),
        trainer=TrainerConfig(**(trainer or {})),
        seed=seed,
    )


def drawn(seed: int, height: int, width: int, classes: int = 3) -> tuple[Pixels, Pixels]:
    """A smooth random image (height, width, 3) and a mask of large patches (height, width)."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (3, 3, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    patches = generator.integers(0, classes, (4, 4), dtype=np.uint8)
    mask = np.asarray(Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST))
    return image, mask


def write_pair(stem: str, image: Pixels, mask: Pixels, *, images: str = "images", masks: str = "masks") -> None:
    for folder, content in ((images, image), (masks, mask)):
        Path(folder).mkdir(exist_ok=True)
        Image.fromarray(content).save(Path(folder) / f"{stem}.png")


def write_pairs(
    count: int = 10, *, size: tuple[int, int] = (12, 16), sizes: list[tuple[int, int]] | None = None
) -> None:
    """`count` pairs 00.png, 01.png ... of one size, or of several in turn."""
    for index in range(count):
        height, width = sizes[index % len(sizes)] if sizes else size
        write_pair(f"{index:02}", *drawn(index, height, width))


def prepare(**settings: object) -> PreparedImages:
    return prepare_images(experiment(**settings))  # type: ignore[arg-type]


def raw_png(path: Path, *, width: int, bits: int, color_type: int, rows: list[bytes]) -> None:
    """A PNG with these bytes of each row, of any depth that PNG has; Pillow itself writes 8 bits."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, color_type, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
