"""Which of a few continuations goes with a context: by a linear head over each, or by their likelihood as text."""

from torch import Tensor

from lit_transformer.models.base import TextNetwork
from lit_transformer.nn.losses import cross_entropy
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.tasks.label_metrics import label_predictions
from lit_transformer.tasks.likelihood import choice_scores, right_answer_sums


class MultipleChoice(Task):
    """A GPT or BERT with one score a choice (Radford et al. 2018, section 3.3), or any GPT as text."""

    network: TextNetwork

    @property
    def by_text(self) -> bool:
        """Whether choices are judged by their likelihood, and no head."""
        return self.config.objective.name == "text"

    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        loss, count = self.network.loss(**batch, label_smoothing=self.config.objective.label_smoothing)
        return {"loss": loss, "count": count}

    def evaluation_sums(self, batch: Batch, split: str) -> dict[str, Tensor]:
        if self.by_text:
            labels, scores = batch["labels"], choice_scores(self.network, batch)  # (rows,), (rows, choices)
            sums = right_answer_sums(scores, batch)
        else:
            labels = batch["targets"]
            scores = self.network(**{name: batch[name] for name in batch if name not in ("targets", "lm_targets")})
            loss, count = cross_entropy(scores, labels)
            sums = {"loss": loss, "count": count}
        kept, predicted = labels >= 0, scores.argmax(dim=-1)  # (rows,) each
        if self.told is not None:
            self.told(*label_predictions(predicted, labels))
        return {**sums, "rows": kept.sum(), "hits": ((predicted == labels) & kept).sum()}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        found = {"loss": sums["loss"] / max(sums["count"], 1.0)}
        return {**found, "accuracy": sums["hits"] / max(sums["rows"], 1.0)} if "rows" in sums else found
