"""Batches of prepared text for language modelling."""

from functools import partial

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.data.blocks import eval_starts, gather, num_targets, num_train_blocks, train_starts
from lit_transformer.data.loader import PlanLoader, first_few
from lit_transformer.data.prepared import PreparedText
from lit_transformer.data.sampler import EpochSampler, Plan, PlanSampler, Sharding, limited_batches
from lit_transformer.objectives import LM_OBJECTIVES

Batch = dict[str, Tensor]
"""`inputs` and `targets` (rows, time) int64, -100 where nothing is predicted; `window_count`, a float32 scalar."""


class BlockDataset(Dataset[Batch]):
    """Whole micro-batches of a split, built from a sampler's plans."""

    def __init__(self, prepared: PreparedText, split: str, context_length: int, objective: str) -> None:
        self._split = split
        self._ids = np.asarray(prepared.token_ids(split))  # still mapped, but indexing a memmap costs more
        self._context_length = context_length
        self._objective = LM_OBJECTIVES[objective]

    def __getitem__(self, plan: Plan) -> Batch:
        ids = torch.from_numpy(gather(self._ids, plan.starts, self._context_length))  # (rows, time + 1)
        batch = self._objective(ids)
        return {
            "inputs": batch.inputs.clamp(min=0),  # (rows, time); padding becomes token 0, whose targets are ignored
            "targets": batch.targets.contiguous(),  # (rows, time)
            "window_count": torch.tensor(float(plan.window_count)),
        }

    def describe(self, plan: Plan) -> str:
        """Which part of the text a plan takes, for a message."""
        starts = (int(start) for start in plan.starts if start >= 0)
        return f"blocks that start at tokens {first_few(starts)} of the {self._split} split"


class TextDataModule(LightningDataModule):
    """Batches of one rank; see Batch for what they hold.

    Every micro-batch of every rank has the same shape, and every rank the same number of them. In training
    `window_count` counts the targets of the optimizer step, in validation and testing those of the batch, over all
    ranks. Training batches never end, and the first one follows from the trainer's `global_step`: a resumed run needs
    nothing else. Raises UserError where the batch size cannot be divided, or a split has no tokens.
    """

    def __init__(self, config: ExperimentConfig, prepared: PreparedText, *, rank: int, world_size: int) -> None:
        super().__init__()
        self._config, self._prepared = config, prepared
        assert isinstance(config.model, TextModelConfig)
        self._context_length = config.model.context_length
        accumulate = config.trainer.accumulate
        self._sharding = Sharding(
            batch_size=config.data.batch_size, accumulate=accumulate, rank=rank, world_size=world_size
        )
        # a validation batch is one micro-batch of every rank
        self._eval_sharding = Sharding(
            batch_size=config.data.batch_size // accumulate, accumulate=1, rank=rank, world_size=world_size
        )
        self._train_sampler = self._make_train_sampler()

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch, fewer under limit_train_batches, overfit_batches and fast_dev_run."""
        return self._train_sampler.steps_per_epoch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled blocks without end, another order and offset in each epoch; with overfit_batches always the same."""
        return self._loader("train", self._train_sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every token of the split once, in order; with overfit_batches the training split."""
        if not self._config.trainer.overfit_batches:
            return self._eval_loader("val")
        return self._eval_loader("train", limited_batches(self._train_sampler.micro_batches, self._config.trainer))

    def test_dataloader(self) -> DataLoader[Batch]:
        """Every token of the split once, in order."""
        return self._eval_loader("test")

    def _steps_done(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_step

    def _make_train_sampler(self) -> PlanSampler:
        tokens, context, trainer = self._prepared.tokens["train"], self._context_length, self._config.trainer
        blocks = num_train_blocks(tokens, context)
        shuffle = not trainer.overfit_batches
        steps = self._sharding.num_steps(blocks)
        sampler = PlanSampler(
            blocks=blocks,
            starts=lambda epoch: train_starts(tokens, context, seed=self._config.seed, epoch=epoch, shuffle=shuffle),
            counts=partial(num_targets, tokens=tokens, context_length=context),
            sharding=self._sharding,
            limit=limited_batches(steps * self._sharding.accumulate, trainer),
            steps_done=self._steps_done,
        )
        if not sampler.steps_per_epoch:
            raise UserError(
                "trainer.limit_train_batches leaves nothing to train on\n"
                f"  got      {trainer.limit_train_batches} of {steps * self._sharding.accumulate} batches\n"
                "  fix      raise it, or set null for all of them"
            )
        return sampler

    def _eval_loader(self, split: str, limit: int | None = None) -> DataLoader[Batch]:
        tokens, context = self._prepared.tokens[split], self._context_length
        if tokens < 2:
            raise UserError(
                f"there is no {split} split to evaluate on: it has {tokens} tokens\n"
                f"  fix      set data.{split}_fraction above 0 or data.{split}_path, or evaluate another split"
            )
        starts = eval_starts(tokens, context)
        counts = partial(num_targets, tokens=tokens, context_length=context)
        sampler = EpochSampler(
            blocks=len(starts), starts=lambda epoch: starts, counts=counts, sharding=self._eval_sharding, limit=limit
        )
        return self._loader(split, sampler)

    def _loader(self, split: str, sampler: PlanSampler) -> DataLoader[Batch]:
        return PlanLoader(
            BlockDataset(self._prepared, split, self._context_length, self._config.objective.name),
            sampler,
            num_workers=self._config.data.loader_workers,
            persistent_workers=self._config.data.persistent_workers,
            pin_memory=self._config.trainer.accelerator in ("auto", "cuda") and torch.cuda.is_available(),
        )
