"""Which of a few classes a text has: by a linear head, or, with the objective text, by the likelihood of words."""

from torch import Tensor

from lit_transformer.models.base import TextNetwork
from lit_transformer.nn.losses import cross_entropy
from lit_transformer.tasks.base import Batch, Task
from lit_transformer.tasks.label_metrics import label_metrics, label_predictions, label_sums
from lit_transformer.tasks.likelihood import choice_scores, right_answer_sums


class Classification(Task):
    """A BERT or GPT with a classifier's head (Devlin et al. 2019; Radford et al. 2018), or any GPT or T5 as text."""

    network: TextNetwork

    @property
    def by_text(self) -> bool:
        """Whether classes are words to be predicted, and no head."""
        return self.config.objective.name == "text"

    @property
    def num_classes(self) -> int:
        """Classes of the data."""
        return getattr(self.config.model, "num_classes", None) or 2

    def training_sums(self, batch: Batch) -> dict[str, Tensor]:
        smoothing = self.config.objective.label_smoothing
        loss, count = self.network.loss(**batch, label_smoothing=smoothing)
        return {"loss": loss, "count": count}

    def evaluation_sums(self, batch: Batch, split: str) -> dict[str, Tensor]:
        if self.by_text:
            labels, scores = batch["labels"], choice_scores(self.network, batch)  # (rows,), (rows, classes)
            sums = right_answer_sums(scores, batch)
        else:
            labels = batch["targets"]
            scores = self.network(**{name: batch[name] for name in batch if name not in ("targets", "lm_targets")})
            loss, count = cross_entropy(scores, labels)
            sums = {"loss": loss, "count": count}
        predicted = scores.argmax(dim=-1)  # (rows,)
        if self.told is not None:
            self.told(*label_predictions(predicted, labels))
        return {**sums, **label_sums(predicted, labels, self.num_classes)}

    def metrics(self, sums: dict[str, float], split: str) -> dict[str, float]:
        found = {"loss": sums["loss"] / max(sums["count"], 1.0)}
        return {**found, **label_metrics(sums, self.num_classes)} if "rows" in sums else found
