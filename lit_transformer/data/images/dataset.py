"""Batches of images and their masks."""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_transformer.config.schema import ImageConfig
from lit_transformer.data.images.augment import augment, to_targets
from lit_transformer.data.images.classes import IGNORED
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.loader import first_few
from lit_transformer.data.randomness import row_generator
from lit_transformer.data.sampler import PADDING, Plan


class ImageDataset(Dataset[dict[str, Tensor]]):
    """Whole micro-batches of a split, from a sampler's plans; what is random about an image follows from its number.

    A batch is `images` uint8 (rows, channels, height, width), `masks` int64 (rows, height, width) with -100 where
    ignored, `rows` int64 (rows,) with -1 for none, and `window_count`, the images of the optimizer step. `training`
    crops and changes images as `settings` say; else they are as they were prepared.
    """

    def __init__(
        self, prepared: PreparedImages, split: str, settings: ImageConfig, *, seed: int, training: bool
    ) -> None:
        self._prepared, self._split, self._store = prepared, split, prepared.store(split)
        self._settings, self._seed, self._training = settings, seed, training

    def __getitem__(self, plan: Plan) -> dict[str, Tensor]:
        height, width = size = self._size(plan)
        shape = (len(plan.rows), self._prepared.channels, height, width)
        images = torch.zeros(shape, dtype=torch.uint8)  # (rows, channels, height, width)
        masks = torch.full((len(plan.rows), height, width), IGNORED, dtype=torch.uint8)  # (rows, height, width)
        for place, row in enumerate(plan.rows.tolist()):
            if row != PADDING:
                image, mask = map(torch.from_numpy, self._store.pixels(row))
                if self._training:
                    generator = row_generator(self._seed, plan.epoch, row)
                    image, mask = augment(image, mask, self._settings, size, generator)
                images[place], masks[place] = image, mask
        return {
            "images": images,
            "masks": to_targets(masks),
            "rows": torch.from_numpy(plan.rows.copy()),
            "window_count": torch.tensor(float((plan.window != PADDING).sum())),
        }

    def describe(self, plan: Plan) -> str:
        """Which images a plan takes, for a message."""
        rows = (int(row) for row in plan.rows if row != PADDING)
        return f"images {first_few(rows)} of the {self._split} split, counted from 0"

    def _size(self, plan: Plan) -> tuple[int, int]:
        """Height and width of every image of the plan's whole step."""
        crop = self._settings.crop
        if self._training and crop:
            return crop, crop
        real = plan.window[plan.window != PADDING]
        height, width = self._store.sizes[real[0] if len(real) else 0].tolist()
        return height, width
