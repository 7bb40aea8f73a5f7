"""What every LightningDataModule of this project shares: planned batches that never depend on ranks or restarts."""

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.loader import PlanDataset, PlanLoader
from lit_transformer.data.sampler import EpochSampler, Order, PlanSampler, Sharding, limited_batches

Batch = dict[str, Tensor]
"""What a network's loss takes by name, and `window_count`, a float32 scalar."""


class PlannedDataModule(LightningDataModule):
    """Batches of one rank.

    All micro-batches of an optimizer step have one shape, and every rank has the same number of them. In training
    `window_count` counts the targets of the optimizer step, in validation and testing those of the batch, over all
    ranks. Training batches never end, and the first one follows from the trainer's `global_step`: a resumed run needs
    nothing else. A subclass gives `order`, `dataset` and `tokens_per_step`. Raises UserError where the batch size
    cannot be divided, or nothing is left to train on or to validate with.
    """

    def __init__(self, config: ExperimentConfig, *, rank: int, world_size: int) -> None:
        super().__init__()
        self.config = config
        self._sharding = Sharding(accumulate=config.trainer.accumulate, rank=rank, world_size=world_size)
        if config.data.max_tokens is None:
            self._sharding.check(config.data.batch_size)
        # a validation batch is one micro-batch of every rank
        self._eval_sharding = Sharding(accumulate=1, rank=rank, world_size=world_size)
        self._train_sampler = self._make_train_sampler()

    @abstractmethod
    def order(self, split: str, sharding: Sharding, *, training: bool) -> Order:
        """The steps of a split; those of training in another order in each epoch, unless overfit_batches is set."""

    @abstractmethod
    def dataset(self, split: str, *, training: bool) -> PlanDataset:
        """Makes batches of a split from plans."""

    @property
    @abstractmethod
    def tokens_per_step(self) -> int:
        """Tokens of an optimizer step, on average."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, fewer under limit_train_batches, overfit_batches and fast_dev_run."""
        return self._train_sampler.steps_per_epoch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches without end, shuffled anew in each epoch; with overfit_batches always the same."""
        return self._loader("train", self._train_sampler, training=True)

    def val_dataloader(self) -> Any:
        """The split once, in a fixed order; with overfit_batches the batches that are trained on."""
        if self.config.trainer.overfit_batches:
            order = self.order("train", self._sharding, training=True)
            sampler = EpochSampler(order, self._sharding, limit=self._train_sampler.micro_batches)
            return self._checked(self._loader("train", sampler, training=False))
        return self._checked(self._eval_loader("val"))

    def test_dataloader(self) -> Any:
        """The split once, in a fixed order."""
        return self._eval_loader("test")

    def _steps_done(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_step

    def _make_train_sampler(self) -> PlanSampler:
        trainer = self.config.trainer
        order = self.order("train", self._sharding, training=True)
        batches = order.num_steps * self._sharding.accumulate
        limit = limited_batches(batches, trainer)
        sampler = PlanSampler(order, self._sharding, limit=limit, steps_done=self._steps_done)
        if not sampler.steps_per_epoch:
            raise UserError(
                "trainer.limit_train_batches leaves nothing to train on\n"
                f"  got      {trainer.limit_train_batches} of {batches} batches\n"
                "  fix      raise it, or set null for all of them"
            )
        return sampler

    def _eval_loader(self, split: str) -> DataLoader[Batch]:
        order = self.order(split, self._eval_sharding, training=False)
        return self._loader(split, EpochSampler(order, self._eval_sharding), training=False)

    def _checked(self, loader: DataLoader[Batch]) -> DataLoader[Batch]:
        share = self.config.trainer.limit_val_batches
        if isinstance(share, float) and share * len(loader) < 1:
            raise UserError(
                f"trainer.limit_val_batches: got {share}, less than one of {len(loader)} batches\n"
                "  allowed  a share of one batch or more, or a whole number of batches\n"
                "  fix      set trainer.limit_val_batches=1"
            )
        return loader

    def _loader(self, split: str, sampler: PlanSampler, *, training: bool) -> DataLoader[Batch]:
        return PlanLoader(
            self.dataset(split, training=training),
            sampler,
            num_workers=self.config.data.loader_workers,
            persistent_workers=self.config.data.persistent_workers,
            pin_memory=self.config.trainer.accelerator in ("auto", "cuda") and torch.cuda.is_available(),
        )
