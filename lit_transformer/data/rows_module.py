"""Batches of prepared rows: pairs to translate, texts to classify, choices to make."""

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.buckets import BucketOrder
from lit_transformer.data.loader import PlanDataset
from lit_transformer.data.planned import PlannedDataModule
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.data.row_datasets import build_row_dataset, row_lengths, row_sequences
from lit_transformer.data.sampler import Order, Sharding
from lit_transformer.data.specials import specials_of
from lit_transformer.data.tokenizers import load_tokenizer


class RowDataModule(PlannedDataModule):
    """Rows of one rank in buckets of like length, `data.batch_size` rows or `data.max_tokens` tokens a step."""

    def __init__(self, config: ExperimentConfig, prepared: PreparedRows, *, rank: int, world_size: int) -> None:
        self._prepared = prepared
        self._specials = specials_of(load_tokenizer(prepared.tokenizer_path))
        super().__init__(config, rank=rank, world_size=world_size)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of an optimizer step, all columns, on average."""
        return self._prepared.tokens["train"] // max(self.steps_per_epoch, 1)

    def order(self, split: str, sharding: Sharding, *, training: bool) -> Order:
        """Rows of a split in buckets of like length."""
        if not self._prepared.rows[split]:
            raise UserError(
                f"there is no {split} split to evaluate on: it has no rows\n"
                f"  fix      set data.{split}_fraction above 0 or data.{split}_path, or evaluate another split"
            )
        data, accumulate = self.config.data, 1 if training else self.config.trainer.accumulate
        return BucketOrder(
            row_lengths(self.config, self._prepared, split),
            seed=self.config.seed,
            batch_size=data.batch_size // accumulate,
            max_tokens=None if data.max_tokens is None else data.max_tokens // accumulate,
            parts=sharding.parts,
            shuffle=training and not self.config.trainer.overfit_batches,
            sequences=row_sequences(self.config, self._prepared, split, training=training),
            strict=training,
        )

    def dataset(self, split: str, *, training: bool) -> PlanDataset:
        """Batches of a split as the task's network takes them."""
        return build_row_dataset(self.config, self._prepared, split, self._specials, training=training)
