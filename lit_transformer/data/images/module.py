"""Batches of prepared images."""

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.images.dataset import ImageDataset
from lit_transformer.data.images.order import SizeOrder
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.loader import PlanDataset
from lit_transformer.data.planned import PlannedDataModule
from lit_transformer.data.sampler import Order, Sharding


class ImageDataModule(PlannedDataModule):
    """Images of one rank, those of an optimizer step of one size: the crop's in training, else their own."""

    def __init__(self, config: ExperimentConfig, prepared: PreparedImages, *, rank: int, world_size: int) -> None:
        self._prepared = prepared
        super().__init__(config, rank=rank, world_size=world_size)

    @property
    def tokens_per_step(self) -> int:
        """Pixels of an optimizer step, ignored ones too, on average."""
        sizes = self._sizes("train", crop=self.config.data.images.crop)
        return int(sizes.prod(axis=1).sum()) // max(self._train_sampler.steps_per_epoch, 1)

    def order(self, split: str, sharding: Sharding, *, training: bool) -> Order:
        """Images of a split in steps of one size."""
        if not self._prepared.images[split]:
            raise UserError(
                f"there is no {split} split to evaluate on: it has no images\n"
                f"  fix      set data.{split}_fraction above 0 or data.{split}_path, or evaluate another split"
            )
        data, trainer = self.config.data, self.config.trainer
        overfits = bool(trainer.overfit_batches)
        # overfitting validates on the same steps, without a crop
        crop = data.images.crop if training and not overfits else None
        return SizeOrder(
            self._sizes(split, crop=crop),
            seed=self.config.seed,
            batch_size=data.batch_size // (1 if training else trainer.accumulate),
            parts=sharding.parts,
            shuffle=training and not overfits,
        )

    def dataset(self, split: str, *, training: bool) -> PlanDataset:
        """Batches of a split, changed at random in training alone."""
        return ImageDataset(self._prepared, split, self.config.data.images, seed=self.config.seed, training=training)

    def _sizes(self, split: str, *, crop: int | None) -> NDArray[np.int64]:
        """Height and width of each image as batches have them: (images, 2)."""
        sizes = self._prepared.store(split).sizes
        return sizes if crop is None else np.full_like(sizes, crop)
