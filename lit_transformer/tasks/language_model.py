"""Language modelling: predict the next token of plain text."""

import math
from collections.abc import Mapping
from typing import Protocol, cast

from torch import Tensor

from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.nn.losses import IGNORED, cross_entropy
from lit_transformer.tasks.base import Batch, Task


class LanguageNetwork(Protocol):
    """What the task needs of a network besides logits: the loss, which need not hold all logits at once."""

    def loss(self, ids: Tensor, targets: Tensor, *, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy in nats and the number of targets (batch, time) that counted."""


class LanguageModel(Task):
    """A GPT trained on blocks of text; called with ids (batch, time) it gives logits (batch, time, vocab_size)."""

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        bytes_per_token: Mapping[str, float] | None = None,
        total_steps: int = 1,
    ) -> None:
        super().__init__(config, total_steps=total_steps)
        self.bytes_per_token = dict(bytes_per_token or {})
        """Split -> UTF-8 bytes of its text for each of its tokens, which turns nats per token into bits per byte."""

    def forward(self, ids: Tensor) -> Tensor:
        return self.network(ids)

    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        smoothing = self.config.objective.label_smoothing
        network = cast(LanguageNetwork, self.network)
        loss, count = network.loss(batch["inputs"], batch["targets"], label_smoothing=smoothing)
        return {"loss": loss, "count": count}

    def evaluation_sums(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.network(batch["inputs"])  # (batch, time, vocab_size)
        loss, count = cross_entropy(logits, batch["targets"])
        hits = (logits.argmax(dim=-1) == batch["targets"]) & (batch["targets"] != IGNORED)
        return {"loss": loss, "count": count, "correct": hits.sum()}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        count = max(sums["count"], 1.0)
        loss = sums["loss"] / count
        found = {"loss": loss, "perplexity": math.exp(loss) if loss < 700 else math.inf}
        if split in self.bytes_per_token:
            found["bits_per_byte"] = loss / math.log(2) / self.bytes_per_token[split]
        if "correct" in sums:
            found["accuracy"] = sums["correct"] / count
        return found
