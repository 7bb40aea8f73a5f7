"""Source text in, target text out, by an encoder-decoder: translation, and the base of text-to-text."""

import torch
from torch import Tensor

from lit_transformer.decoding.sources import decode_sources
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.nn.losses import IGNORED, cross_entropy
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.tasks.language_model import token_metrics
from lit_transformer.tasks.text_metrics import text_metrics, text_predictions, text_sums


class Translation(Task):
    """An encoder-decoder Transformer or T5 trained on pairs; called with (source ids, decoder ids) it gives logits.

    BLEU, chrF and exact match are those of texts decoded as `config.decoding` says: of all rows in testing and with
    overfit_batches, else of the first `val_rows` in validation. Without `facts.texts` nothing is decoded.
    """

    network: TextNetwork

    reported: tuple[str, ...] = ("bleu", "chrf", "exact_match")
    """Which metrics of decoded texts the task tells."""

    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        loss, count = self.network.loss(**batch, label_smoothing=self.config.objective.label_smoothing)
        return {"loss": loss, "count": count}

    def evaluation_sums(self, batch: Batch, split: str) -> dict[str, Tensor]:
        targets, rows = batch["targets"], batch["rows"]
        inputs = {name: batch[name] for name in batch if name not in ("targets", "rows")}
        logits = self.network.logits(self.network.target_hidden(**inputs))  # (rows, target_time, vocab_size)
        loss, count = cross_entropy(logits, targets)
        hits = (logits.argmax(dim=-1) == targets) & (targets != IGNORED)
        sums = {"loss": loss, "count": count, "correct": hits.sum()}
        few = split == "val" and not self.config.trainer.overfit_batches
        limit = self.config.decoding.val_rows if few else None
        wanted = (rows >= 0) if limit is None else (rows >= 0) & (rows < limit)  # (rows,)
        return {**sums, **self._text_sums(batch, split, wanted)}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        found = text_metrics(sums)
        return {**token_metrics(sums), **{name: found[name] for name in self.reported if name in found}}

    def _text_sums(self, batch: Batch, split: str, wanted: Tensor) -> dict[str, Tensor]:
        """Sums over the decoded texts of the wanted rows; all ranks give the same names, also for none."""
        found = self.facts.texts
        if found is None or (split == "val" and self.config.decoding.val_rows == 0):
            return {}
        texts, references = [], []
        if wanted.any():
            mask = batch["input_mask"][wanted] if "input_mask" in batch else None
            texts = found.decode(self.decode(batch["inputs"][wanted], mask))
            references = [found.reference(split, row) for row in batch["rows"][wanted].tolist()]
        if self.told is not None:
            self.told(wanted.nonzero()[:, 0].tolist(), text_predictions(texts, references))
        device = batch["inputs"].device
        return {name: torch.tensor(value, device=device) for name, value in text_sums(texts, references).items()}

    def decode(self, inputs: Tensor, input_mask: Tensor | None) -> list[list[int]]:
        """The best decoded ids of each source (rows, time), as `config.decoding` says."""
        assert self.facts.texts is not None and isinstance(self.network, Seq2Seq)
        settings, start = self.config.decoding, self.facts.texts.start_token
        found = decode_sources(
            self.network, inputs, input_mask,
            start_token=start, stop_token=self.facts.texts.stop_token, beam_size=settings.beam_size,
            length_penalty=settings.length_penalty, max_length=settings.max_length, forbidden=(start,),  # the padding
        )  # fmt: skip
        return [hypotheses[0].ids for hypotheses in found]
