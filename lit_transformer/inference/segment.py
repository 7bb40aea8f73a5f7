"""`segment`: the class of each pixel of images, as masks, overlays and probabilities."""

import glob
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import SegmenterConfig
from lit_transformer.data.images.drawing import overlay
from lit_transformer.data.images.pairs import SUFFIXES
from lit_transformer.data.images.palette import write_mask
from lit_transformer.data.images.reading import read_image, resize, target_size
from lit_transformer.inference.load import find_device, load_task, open_run
from lit_transformer.inference.tiles import in_windows, reach, resized
from lit_transformer.records.atomic import read_json, write_atomic
from lit_transformer.tasks.segmentation import Segmentation, class_probabilities

WINDOW = 1024
"""Side of the windows that larger images are seen in, in pixels; more where the network looks far."""


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """What was found in one image."""

    image: Path
    mask: Path
    areas: dict[str, float]
    """Class -> its share of the image."""

    def to_json(self) -> dict[str, object]:
        """For --json."""
        return {"image": str(self.image), "mask": str(self.mask), "areas": self.areas}


class Segmenting:
    """A trained segmenter, on a device that `find_device` knows, that writes what it finds into a folder.

    Raises UserError for another kind of run.
    """

    def __init__(
        self,
        path: Path,
        output: Path,
        *,
        probabilities: bool = False,
        window: int | None = None,
        device: str = "cpu",
    ) -> None:
        self._device = find_device(device)
        task = load_task(path, device=self._device)
        if not isinstance(task, Segmentation):
            raise UserError(
                f"segment cannot use {path}\n  got      task {task.config.task}\n"
                "  allowed  a run of task segmentation\n"
                "  fix      train one: lit-transformer fit segmenter_tiny"
            )
        assert isinstance(task.config.model, SegmenterConfig)
        self._task, self._model, self._images = task, task.config.model, task.config.data.images
        self._output, self._probabilities = output, probabilities
        prepared = read_json(open_run(path).prepared_file)
        self._classes: list[str] = [str(name) for name in prepared["classes"]]  # type: ignore[attr-defined]
        self._colors = [tuple(color) for color in prepared["colors"]]  # type: ignore[attr-defined]
        self._margin = reach(self._model)
        least = 4 * self._margin
        if window is not None and window < least:
            far = f"this network looks {self._margin} pixels far"
            raise UserError(f"--window\n  got      {window}\n  allowed  {least} or more: {far}")
        self._window = window or max(WINDOW, least)

    def run(self, images: Sequence[Path]) -> Iterator[Segmented]:
        """Write mask, overlay and, when asked, probabilities of each image; progress goes to standard error."""
        console = Console(stderr=True)
        for image in track(images, "images", console=console, transient=True, disable=not console.is_terminal):
            yield self._segment(image)

    @torch.inference_mode()
    def probabilities(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Of each class and pixel of an image (height, width, channels): (classes, height, width)."""
        height, width = pixels.shape[:2]
        seen = target_size(height, width, self._images.height, self._images.width)  # that of the run's images
        small = resize(pixels, np.zeros((height, width), dtype=np.uint8), seen)[0]  # (*seen, channels)
        image = torch.from_numpy(np.moveaxis(small, -1, 0).copy())[None]  # (1, channels, *seen)
        logits = in_windows(
            self._logits, image, window=self._window, margin=self._margin, stride=2**self._model.num_stages
        )  # (1, num_logits, *seen)
        return class_probabilities(resized(logits.float(), height, width))[0]

    def _logits(self, images: Tensor) -> Tensor:
        """Of one window; what is put together of many stays on the CPU, whatever the image's size."""
        return self._task(images.to(self._device)).cpu()

    def _segment(self, image: Path) -> Segmented:
        pixels = read_image(image, self._model.in_channels, self._images.max_pixels)
        found = self.probabilities(pixels).numpy()  # (classes, height, width)
        indices = found.argmax(axis=0)  # (height, width)
        mask = self._output / f"{image.stem}.png"
        self._output.mkdir(parents=True, exist_ok=True)
        write_mask(mask, indices.astype(np.uint8), self._colors)
        page = Image.fromarray(overlay(pixels, indices, self._colors))
        write_atomic(self._output / f"{image.stem}-overlay.png", lambda file: page.save(file, format="PNG"))
        if self._probabilities:
            write_atomic(self._output / f"{image.stem}.npy", lambda file: np.save(file, found))
        counts = np.bincount(indices.ravel(), minlength=len(self._classes)) / indices.size  # (classes,)
        return Segmented(image=image, mask=mask, areas=dict(zip(self._classes, counts.tolist(), strict=True)))


def find_images(names: Sequence[str]) -> list[Path]:
    """Images that files, folders and globs name, in order, each once; raises UserError."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        else:
            inside = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        if not inside:
            what = "a folder without images" if path.is_dir() else "no file, folder or glob that finds one"
            raise UserError(
                f"{name} is {what}\n  allowed  images ({', '.join(sorted(SUFFIXES))}), folders and globs of them"
            )
        found += inside
    images = list(dict.fromkeys(found))
    stems: dict[str, Path] = {}
    for image in images:
        other = stems.setdefault(image.stem, image)
        if other != image:
            raise UserError(
                f"{image} and {other} would be written to one mask, {image.stem}.png\n"
                "  fix      segment them into two folders"
            )
    return images


def tell_done(done: int, output: Path) -> None:
    """Say on standard error where everything lies."""
    print(f"wrote {done:,} masks and overlays to {output}", file=sys.stderr)
