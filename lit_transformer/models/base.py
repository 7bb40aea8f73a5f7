"""What every network over token ids shares: hidden states where there are targets, logits of them, the loss."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TextModelConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.nn.losses import linear_cross_entropy
from lit_transformer.nn.places import take


class TextNetwork(nn.Module):
    """A network whose `forward` gives logits at every position; subclasses give `hidden_states` and `output_weight`."""

    config: TextModelConfig

    @abstractmethod
    def hidden_states(self, inputs: Tensor, **how: Any) -> Tensor:
        """What the output layer reads: (batch, time, d_model)."""

    @property
    @abstractmethod
    def output_weight(self) -> Tensor:
        """Weights of the output layer, (vocab_size, d_model)."""

    @property
    def output_bias(self) -> Tensor | None:
        """Biases of the output layer, (vocab_size)."""
        return None

    def target_hidden(self, inputs: Tensor, *, target_positions: Tensor | None = None, **how: Any) -> Tensor:
        """What the output layer reads where there are targets.

        target_positions (batch, targets) are places in time, and the result is (batch, targets, d_model); None: all.
        """
        hidden = self.hidden_states(inputs, **how)  # (batch, time, d_model)
        return hidden if target_positions is None else take(hidden, target_positions)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> logits (..., vocab_size)."""
        return F.linear(hidden, self.output_weight, self.output_bias)

    def loss(
        self, inputs: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, **how: Any
    ) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy in nats and the number of targets that counted; never holds all logits.

        targets has the shape of `target_hidden`'s result without d_model, -100 where nothing is predicted.
        """
        hidden = self.target_hidden(inputs, **how)
        return linear_cross_entropy(
            hidden, self.output_weight, targets, bias=self.output_bias, label_smoothing=label_smoothing
        )

    def dummy_batch(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """One full training row as `loss` takes it, for counting FLOPs; what share are targets is the objective's."""
        ids = torch.zeros(1, self.config.context_length, dtype=torch.long)  # (batch, time)
        return {"inputs": ids, "targets": ids}

    def num_parameters(self) -> int:
        """Numbers to be learned; shared ones count once."""
        return sum(parameter.numel() for parameter in self.parameters())


def known_vocabulary(config: TextModelConfig) -> int:
    """`vocab_size`; raises UserError while it is null."""
    if config.vocab_size is None:
        raise UserError("model.vocab_size is null: give a number, or let `prepare` take the tokenizer's")
    return config.vocab_size
