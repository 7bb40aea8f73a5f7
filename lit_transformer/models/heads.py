"""Linear heads over a pre-trained network: which class a text has, and which choice goes with a context.

A GPT is read at each text's last token, and its LM loss serves as auxiliary objective (Radford et al. 2018, sections
3.2 and 3.3); a BERT through its pooler (Devlin et al. 2019, section 4).
"""

from typing import Any

import torch
from torch import Tensor, nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import BertConfig, GPTConfig, ModelConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.bert import Bert, first_place
from lit_transformer.models.gpt import GPT
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.losses import IGNORED, cross_entropy, linear_cross_entropy
from lit_transformer.nn.places import take


def body_of(config: ModelConfig) -> GPT | Bert:
    """The network under a head, with fresh weights; raises UserError for a kind that heads do not know."""
    if isinstance(config, GPTConfig):
        return GPT(config)
    if isinstance(config, BertConfig):
        return Bert(config, lm_head=False, pooler=True)
    raise UserError(f"model.kind: got {config.kind} under a classifier's head; allowed: bert, gpt")


class Head(TextNetwork):
    """A body and one linear layer over one state of each text.

    inputs (..., time) hold a text in each row. lm_weight is that of a GPT's LM loss beside the head's own; at 0 a
    body's output layer of its own is taken off, for nothing would train it. Raises ValueError for a BERT with a
    masked-LM head or without a pooler.
    """

    def __init__(self, body: GPT | Bert, outputs: int, *, bias: bool, lm_weight: float) -> None:
        super().__init__()
        if isinstance(body, Bert) and (body.lm_head is not None or body.pooler is None):
            raise ValueError("a BERT under a head needs its pooler and no masked-LM head: see body_of")
        if isinstance(body, GPT) and lm_weight == 0:
            body.head = None
        self.config = body.config
        self.body, self.lm_weight = body, lm_weight
        self.dropout = Dropout(body.config.dropout)
        self.output = nn.Linear(body.config.d_model, outputs, bias=bias)
        nn.init.normal_(self.output.weight, std=body.config.init_std)
        if bias:
            nn.init.zeros_(self.output.bias)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the linear layer, (outputs, d_model)."""
        return self.output.weight

    @property
    def output_bias(self) -> Tensor | None:
        """Its biases, (outputs)."""
        return self.output.bias

    def forward(self, inputs: Tensor, **how: Any) -> Tensor:
        """Logits (rows, outputs); the options are those of `hidden_states`, and `ends` as in `target_hidden`."""
        return self.logits(self.target_hidden(inputs, **how))

    def hidden_states(self, inputs: Tensor, **how: Any) -> Tensor:
        """States of a GPT (texts, time, d_model), and of a BERT's first tokens (texts, 1, d_model).

        The options are the body's own, each shaped as inputs (..., time).
        """
        texts = inputs.flatten(0, -2)  # (texts, time)
        flat: dict[str, Any] = {name: value.flatten(0, -2) for name, value in how.items() if value is not None}
        if isinstance(self.body, Bert):
            flat["places"] = first_place(texts)
        return self.body.hidden_states(texts, **flat)

    def target_hidden(self, inputs: Tensor, *, ends: Tensor | None = None, **how: Any) -> Tensor:
        """What the linear layer reads: (..., d_model). ends (...) is the place of each text's last token (GPT)."""
        return self._summary(self.hidden_states(inputs, **how), inputs, ends)

    def loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        ends: Tensor | None = None,
        lm_targets: Tensor | None = None,
        **how: Any,
    ) -> tuple[Tensor, Tensor]:
        """Summed loss in nats, and the number of rows that counted; targets (rows,) are -100 where they do not.

        lm_targets (..., time), -100 where nothing is predicted: each row adds lm_weight times its mean loss of a token.
        """
        hidden = self.hidden_states(inputs, **how)  # (texts, time, d_model)
        logits = self.logits(self._summary(hidden, inputs, ends))  # (rows, classes)
        total, count = cross_entropy(logits, targets, label_smoothing=label_smoothing)
        if lm_targets is None or self.lm_weight == 0:
            return total, count
        tokens = (lm_targets != IGNORED).flatten(1).sum(dim=1).clamp(min=1)  # (rows,)
        weights = (1 / tokens).view(-1, *[1] * (lm_targets.ndim - 1)).expand_as(lm_targets)  # (..., time)
        lm_loss, _ = linear_cross_entropy(
            hidden, self.body.output_weight, lm_targets.flatten(0, -2), target_weights=weights
        )
        return total + self.lm_weight * lm_loss, count

    def dummy_batch(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """One full text and its label, for counting FLOPs."""
        ids = torch.zeros(1, self.config.context_length, dtype=torch.long)  # (batch, time)
        return {"inputs": ids, "targets": ids[:, 0]}

    def _summary(self, hidden: Tensor, inputs: Tensor, ends: Tensor | None) -> Tensor:
        """One of each text's states (texts, n, d_model): (..., d_model), with dropout."""
        if isinstance(self.body, Bert):
            states = self.body.pooled(hidden)  # (texts, d_model)
        else:
            states = hidden[:, -1] if ends is None else take(hidden, ends.reshape(-1, 1))[:, 0]  # (texts, d_model)
        return self.dropout(states.view(*inputs.shape[:-1], -1))


class Classifier(Head):
    """Texts (rows, time) -> logits (rows, num_classes)."""

    def __init__(self, body: GPT | Bert, num_classes: int, *, lm_weight: float = 0.0) -> None:
        super().__init__(body, num_classes, bias=True, lm_weight=lm_weight)


class Chooser(Head):
    """Texts of every choice (rows, choices, time) -> logits (rows, choices): one score each, compared by a softmax."""

    def __init__(self, body: GPT | Bert, *, lm_weight: float = 0.0) -> None:
        super().__init__(body, 1, bias=False, lm_weight=lm_weight)  # a softmax over choices sees no common bias

    def logits(self, hidden: Tensor) -> Tensor:
        """Summaries (rows, choices, d_model) -> scores (rows, choices)."""
        return super().logits(hidden)[..., 0]

    def dummy_batch(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """Two full texts and which of them is right, for counting FLOPs."""
        ids = torch.zeros(1, 2, self.config.context_length, dtype=torch.long)  # (batch, choices, time)
        return {"inputs": ids, "targets": ids[:, 0, 0]}
