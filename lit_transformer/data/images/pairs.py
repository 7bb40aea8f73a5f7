"""Which mask belongs to which image, and which pairs are held out. Imports no torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.files import read_text
from lit_transformer.data.locate import candidates, find_files

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".jp2", ".avif"}
)
"""What a file in a folder of images ends with; the others there are left alone."""


@dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    name: str
    """The image's, as it decides what is held out: its file's name, or what the list says."""
    image: Path
    mask: Path


def find_images(name: str, key: str) -> list[Path]:
    """Images in a folder (not below it), or files that a path or glob names, sorted; raises UserError where none is."""
    for path in candidates(name):
        if path.is_dir():
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
            if files:
                return files
            raise UserError(
                f"{key}: the folder {path} has no images\n"
                f"  allowed  files that end with {', '.join(sorted(SUFFIXES))}\n"
                f"  fix      correct {key}; images in folders below it are {name.rstrip('/')}/**/*.png"
            )
    return find_files(name, key)


def match_pairs(path: str, mask_path: str, prefix: str) -> list[Pair]:
    """Images with the masks whose file has the same name but for its ending; masks without an image are left alone.

    Raises UserError for an image without a mask, and for two images or two masks of one name.
    """
    images = _by_stem(find_images(path, f"data.{prefix}path"), f"data.{prefix}path")
    masks = _by_stem(find_images(mask_path, f"data.{prefix}mask_path"), f"data.{prefix}mask_path")
    missing = [image for stem, image in images.items() if stem not in masks]
    if missing:
        raise UserError(
            f"{missing[0]}: there is no mask {missing[0].stem}.* in {mask_path}\n"
            f"  got      {len(missing)} of {len(images)} images without a mask\n"
            f"  fix      add the masks, or list the pairs in a file: data.{prefix}path=FILE, "
            f"data.{prefix}mask_path=null"
        )
    return [Pair(image.name, image, masks[stem]) for stem, image in images.items()]


def read_list(path: str, key: str) -> list[Pair]:
    """Pairs of list files, a line `image mask` each, with paths relative to the list's folder.

    A tab between the two allows spaces in them. Raises UserError with file and line for a line that is not so, and for
    a file that is not there.
    """
    pairs: list[Pair] = []
    for file in find_files(path, key):
        for number, line in enumerate(read_text(file).splitlines(), start=1):
            words = line.strip().split("\t") if "\t" in line.strip() else line.split()
            if not words:
                continue
            if len(words) != 2:
                raise UserError(
                    f"{file}:{number}: no pair of an image and its mask\n  got      {line.strip()[:80]}\n"
                    "  allowed  two paths, relative to the list's folder, with a space or a tab between them\n"
                    f"  fix      {key} is a list of pairs since {key.replace('path', 'mask_path')} is null; "
                    "set that where it names images"
                )
            image, mask = (file.parent / word.strip() for word in words)
            for what, found in (("image", image), ("mask", mask)):
                if not found.is_file():
                    raise UserError(f"{file}:{number}: there is no {what} {found}")
            pairs.append(Pair(words[0].strip(), image, mask))
    if not pairs:
        raise UserError(f"{key}: {path} names no pair\n  allowed  lines of `image mask`")
    return pairs


def split_pairs(given: Mapping[str, Sequence[Pair]], data: DataConfig) -> dict[str, list[Pair]]:
    """`train`, `val` and `test`, the latter two out of `train` by their fractions where they are not given.

    Held out are the pairs whose names have the first hashes: neither order nor place of the files counts. Raises
    UserError where train or val is empty, or a share got nothing.
    """
    train = list(given["train"])
    drawn = sorted(train, key=lambda pair: hashlib.blake2b(f"images/{pair.name}".encode(), digest_size=16).digest())
    splits: dict[str, list[Pair]] = {}
    for split, fraction in (("test", data.test_fraction), ("val", data.val_fraction)):
        if split in given:
            splits[split] = list(given[split])
            continue
        count = round(len(train) * fraction)
        if fraction and not count:
            raise UserError(
                f"the {split} split is empty: {fraction:g} of {len(train)} images\n"
                f"  fix      raise data.{split}_fraction, or set data.{split}_path"
            )
        held, drawn = set(drawn[:count]), drawn[count:]
        splits[split] = [pair for pair in train if pair in held]
    left = set(drawn)
    splits["train"] = [pair for pair in train if pair in left]
    if not splits["train"] or not splits["val"]:
        raise UserError(
            f"the {'validation' if splits['train'] else 'training'} split of {len(train)} images is empty "
            f"(data.val_fraction={data.val_fraction}, data.test_fraction={data.test_fraction})\n"
            "  fix      set data.val_path, or other fractions"
        )
    return {split: splits[split] for split in ("train", "val", "test")}


def _by_stem(files: Sequence[Path], key: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        if file.stem in found:
            raise UserError(
                f"{key}: two files of one name\n  got      {found[file.stem]}\n           {file}\n"
                "  allowed  one image and one mask of each name, which is what they are matched by\n"
                f"  fix      name one kind alone, such as {key}={file.parent / f'*{file.suffix}'}, or list the pairs"
            )
        found[file.stem] = file
    return found
