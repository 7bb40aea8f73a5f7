"""Language modelling: predict tokens of plain text, by any of the objectives over blocks of it."""

import math
from collections.abc import Mapping

from torch import Tensor

from lit_transformer.config.registry import ASKED_FOR
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.bert import Bert
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
        given = {name: batch[name] for name in batch if name not in ("targets", "next_sentence")}
        if "next_sentence" not in batch:
            return answer_sums(self.network.logits(self.network.target_hidden(**given)), batch["targets"])
        assert isinstance(self.network, Bert)
        hidden, follows = self.network.target_hidden_and_next_sentence(**given)
        pairs = answer_sums(follows, batch["next_sentence"])
        sums = answer_sums(self.network.logits(hidden), batch["targets"])
        return {**sums, **{f"next_sentence_{name}": value for name, value in pairs.items()}}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        found = token_metrics(sums)
        bytes_per_token = self.facts.bytes_per_token.get(split)
        if bytes_per_token and self.config.objective.name in EVERY_TOKEN:
            found["bits_per_byte"] = found["loss"] / math.log(2) / bytes_per_token
        for name in ASKED_FOR:
            if f"{name}_count" in sums:
                count = max(sums[f"{name}_count"], 1.0)
                found[f"{name}_loss"] = sums[f"{name}_loss"] / count
                found[f"{name}_accuracy"] = sums[f"{name}_correct"] / count
        return found


def answer_sums(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Sums of the loss in nats, of the targets (...) that are not ignored, and of those that logits (..., n) meet."""
    loss, count = cross_entropy(logits, targets)
    hits = (logits.argmax(dim=-1) == targets) & (targets != IGNORED)
    return {"loss": loss, "count": count, "correct": hits.sum()}


def token_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """Loss in nats per target, perplexity, and accuracy where it was counted."""
    count = max(sums["count"], 1.0)
    loss = sums["loss"] / count
    found = {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}
    if "correct" in sums:
        found["accuracy"] = sums["correct"] / count
    return found
