"""Batches of prepared text for language modelling."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.data.block_makers import BlockMaker, build_block_maker
from lit_transformer.data.blocks import eval_starts, gather, num_train_blocks, train_starts
from lit_transformer.data.cloze import cloze_batches
from lit_transformer.data.loader import PlanDataset, first_few
from lit_transformer.data.planned import Batch, PlannedDataModule
from lit_transformer.data.prepared import PreparedText
from lit_transformer.data.randomness import RowGenerators
from lit_transformer.data.sampler import FixedOrder, Order, Plan, Sharding
from lit_transformer.data.tokenizers import load_tokenizer, specials_of


class BlockDataset(Dataset[Batch]):
    """Whole micro-batches of a split, from a sampler's plans; what is random about a row follows from its place."""

    def __init__(self, prepared: PreparedText, split: str, maker: BlockMaker, *, seed: int) -> None:
        self._split, self._seed = split, seed
        self._ids = np.asarray(prepared.token_ids(split))  # still mapped, but indexing a memmap costs more
        self._maker = maker.reading(self._ids)

    def __getitem__(self, plan: Plan) -> Batch:
        batch = self._maker.batch(*self._blocks(plan.rows, plan.epoch))
        count = self._maker.count(*self._blocks(plan.window, plan.epoch))
        return {**batch, "window_count": torch.tensor(float(count))}

    def _blocks(self, starts: NDArray[np.int64], epoch: int) -> tuple[NDArray[np.int64], RowGenerators]:
        ids = gather(self._ids, starts, self._maker.block_length)  # (rows, block_length)
        return ids, RowGenerators(self._seed, epoch, starts)

    def describe(self, plan: Plan) -> str:
        """Which part of the text a plan takes, for a message."""
        starts = (int(start) for start in plan.rows if start >= 0)
        return f"blocks that start at tokens {first_few(starts)} of the {self._split} split"


class TextDataModule(PlannedDataModule):
    """Blocks of one rank, in training from another offset and in another order in each epoch.

    Raises UserError where a split has no tokens, and where tokenizer or context is not enough for the objective.
    """

    def __init__(self, config: ExperimentConfig, prepared: PreparedText, *, rank: int, world_size: int) -> None:
        self._prepared = prepared
        self._maker = build_block_maker(config, prepared.tokenizer_path)
        super().__init__(config, rank=rank, world_size=world_size)
        assert isinstance(config.model, TextModelConfig)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of text in an optimizer step."""
        return self.config.data.batch_size * self._maker.stride

    def order(self, split: str, sharding: Sharding, *, training: bool) -> Order:
        """Blocks of a split; evaluation takes every token of it once."""
        tokens, stride, overlap = self._prepared.tokens[split], self._maker.stride, self._maker.overlap
        if not training:
            if tokens < 2:
                raise UserError(
                    f"there is no {split} split to evaluate on: it has {tokens} tokens\n"
                    f"  fix      set data.{split}_fraction above 0 or data.{split}_path, or evaluate another split"
                )
            starts = eval_starts(tokens, stride, overlap)
            size = self.config.data.batch_size // self.config.trainer.accumulate
            return FixedOrder(lambda epoch: starts, len(starts), size)
        seed, shuffle = self.config.seed, not self.config.trainer.overfit_batches
        return FixedOrder(
            lambda epoch: train_starts(tokens, stride, overlap, seed=seed, epoch=epoch, shuffle=shuffle),
            num_train_blocks(tokens, stride, overlap),
            self.config.data.batch_size,
        )

    def val_dataloader(self) -> Any:
        """Every token of the split once, in order; with `objective.cloze` also the probe, the same on every rank."""
        whole = super().val_dataloader()
        if not self.config.objective.cloze:
            return whole
        specials = specials_of(load_tokenizer(self._prepared.tokenizer_path))
        return [whole, cloze_batches(self.config, specials, self._prepared.token_ids("val"))]

    def dataset(self, split: str, *, training: bool) -> PlanDataset:
        """Batches of a split, made by the objective."""
        return BlockDataset(self._prepared, split, self._maker, seed=self.config.seed if training else 0)
