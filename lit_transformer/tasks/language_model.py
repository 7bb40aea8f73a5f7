"""Language modelling: predict tokens of plain text, by any of the objectives over blocks of it."""

import math
from collections.abc import Mapping

from torch import Tensor

from lit_transformer.models.base import TextNetwork
from lit_transformer.nn.losses import IGNORED, cross_entropy
from lit_transformer.tasks.base import Batch, Task

EVERY_TOKEN = ("causal_lm",)
"""Objectives whose targets are all tokens, so that nats per token become bits per byte of text."""


class LanguageModel(Task):
    """A GPT, BERT, GLM or T5 trained on blocks of text; called as its network, it gives logits at every position."""

    network: TextNetwork

    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        loss, count = self.network.loss(**batch, label_smoothing=self.config.objective.label_smoothing)
        return {"loss": loss, "count": count}

    def evaluation_sums(self, batch: Batch, split: str) -> dict[str, Tensor]:
        targets = batch["targets"]
        hidden = self.network.target_hidden(
            **{name: batch[name] for name in batch if name not in ("targets", "next_sentence")}
        )
        logits = self.network.logits(hidden)  # (batch, targets, vocab_size)
        loss, count = cross_entropy(logits, targets)
        hits = (logits.argmax(dim=-1) == targets) & (targets != IGNORED)
        return {"loss": loss, "count": count, "correct": hits.sum()}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        found = token_metrics(sums)
        bytes_per_token = self.facts.bytes_per_token.get(split)
        if bytes_per_token and self.config.objective.name in EVERY_TOKEN:
            found["bits_per_byte"] = found["loss"] / math.log(2) / bytes_per_token
        if "cloze_count" in sums:
            found["cloze_loss"] = sums["cloze_loss"] / sums["cloze_count"]
            found["cloze_accuracy"] = sums["cloze_correct"] / sums["cloze_count"]
        return found


def token_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """Loss in nats per target, perplexity, and accuracy where it was counted."""
    count = max(sums["count"], 1.0)
    loss = sums["loss"] / count
    found = {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}
    if "correct" in sums:
        found["accuracy"] = sums["correct"] / count
    return found
