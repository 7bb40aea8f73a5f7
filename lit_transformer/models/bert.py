"""BERT: an encoder that predicts masked tokens and whether a second text follows a first (Devlin et al. 2019)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.models import BertConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.base import TextNetwork, known_vocabulary
from lit_transformer.models.stack import build_blocks, build_last_norm, build_positions, run_blocks
from lit_transformer.nn.cache import new_positions
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.feed_forward import GATED, PLAIN
from lit_transformer.nn.initialisation import initialise
from lit_transformer.nn.losses import IGNORED, linear_cross_entropy
from lit_transformer.nn.norms import build_norm


class Bert(TextNetwork):
    """Token ids (batch, time) -> logits of the token at each place (batch, time, vocab_size).

    A part is there only where it is used, for every parameter takes part in training: lm_head is the masked-LM head,
    pooler the layer over the first token that classifiers read, next_sentence the head that reads it in pre-training.
    """

    config: BertConfig

    def __init__(
        self, config: BertConfig, *, lm_head: bool = True, pooler: bool = False, next_sentence: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        vocab_size, width = known_vocabulary(config), config.d_model
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding, self.rotary = build_positions(config)
        self.token_type_embedding = nn.Embedding(config.token_types, width)
        post_norm = config.norm_position == "post"  # pre-norm blocks normalise what enters them
        self.embedding_norm = (
            build_norm(config.norm, width, bias=config.bias, eps=config.norm_eps) if post_norm else nn.Identity()
        )
        self.dropout = Dropout(config.dropout)
        self.blocks = build_blocks(config)
        self.norm = build_last_norm(config)
        self.pooler = nn.Linear(width, width, bias=config.bias) if pooler or next_sentence else None
        self.next_sentence_head = nn.Linear(width, 2, bias=config.bias) if next_sentence else None
        self.lm_head = MaskedLMHead(config, vocab_size) if lm_head else None
        initialise(self, std=config.init_std, num_layers=config.num_layers)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the masked-LM head's output layer, (vocab_size, d_model)."""
        head = self._masked_lm_head()
        return self.token_embedding.weight if head.output is None else head.output.weight

    @property
    def output_bias(self) -> Tensor | None:
        """Its biases, (vocab_size)."""
        return self._masked_lm_head().output_bias

    def forward(self, inputs: Tensor, *, input_mask: Tensor | None = None, token_types: Tensor | None = None) -> Tensor:
        """Logits (batch, time, vocab_size); the options are those of `hidden_states`."""
        return self.logits(self.target_hidden(inputs, input_mask=input_mask, token_types=token_types))

    def hidden_states(  # type: ignore[override]  # its options by name
        self,
        inputs: Tensor,
        *,
        input_mask: Tensor | None = None,
        token_types: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Output of the last block: (batch, time, d_model), or (batch, n, d_model) of n places.

        input_mask (batch, time): True = a token, False = padding, which nobody sees. token_types (batch, time): the
        segment of each token; None = all of the first. places (batch, n) in time are those whose states are wanted,
        which spares most of the last block; None = all.
        """
        positions = new_positions(inputs.shape[1], None, inputs.device)  # (1, time)
        x = self.token_embedding(inputs)  # (batch, time, d_model)
        if self.position_embedding is not None:
            x = x + self.position_embedding(positions).to(x.dtype)
        x = x + self.token_type_embedding(torch.zeros_like(positions) if token_types is None else token_types)
        x = self.dropout(self.embedding_norm(x))
        rotary = self.rotary(positions) if self.rotary is not None else None
        mask = None if input_mask is None else input_mask[:, None, None]  # (batch, 1, 1, time)
        return self.norm(run_blocks(self.blocks, x, mask=mask, rotary=rotary, places=places))

    def target_hidden(self, inputs: Tensor, *, target_positions: Tensor | None = None, **how: Any) -> Tensor:
        """What the output layer reads at target_positions (batch, targets), or everywhere: (batch, targets, d_model).

        The last block and the masked-LM head work at those places alone.
        """
        return self._masked_lm_head()(self.hidden_states(inputs, places=target_positions, **how))

    def pooled(self, hidden: Tensor) -> Tensor:
        """What a classifier reads, made of the first of the states (batch, n, d_model): (batch, d_model)."""
        if self.pooler is None:
            raise ValueError("this network has no pooler: build it with pooler=True or next_sentence=True")
        return self.pooler(hidden[:, 0]).tanh()

    def target_hidden_and_next_sentence(
        self, inputs: Tensor, *, target_positions: Tensor | None = None, **how: Any
    ) -> tuple[Tensor, Tensor]:
        """What `target_hidden` and `next_sentence_logits` give, of one pass."""
        first, at_targets = self._first_and_targets(inputs, target_positions, how)
        return self._masked_lm_head()(at_targets), self._next_sentence_logits(first)

    def next_sentence_logits(self, inputs: Tensor, **how: Any) -> Tensor:
        """Logits (batch, 2): the second segment does not follow the first, and it does."""
        return self._next_sentence_logits(self.hidden_states(inputs, places=first_place(inputs), **how))

    def loss(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        target_positions: Tensor | None = None,
        next_sentence: Tensor | None = None,
        **how: Any,
    ) -> tuple[Tensor, Tensor]:
        """Summed cross-entropy in nats and the number of targets that counted; never holds all logits.

        With next_sentence (batch), 1 = the second segment follows the first, 0 = not, -100 = unknown, each row adds its
        loss of that times its number of targets. Where rows have equally many, sum / count is then the mean of the one
        plus the mean of the other; and the sum stays one over rows, whichever micro-batches and ranks they come in.
        """
        if next_sentence is None:
            hidden = self.hidden_states(inputs, places=target_positions, **how)  # (batch, targets, d_model)
        else:
            first, hidden = self._first_and_targets(inputs, target_positions, how)
        total, count = linear_cross_entropy(
            self._masked_lm_head()(hidden),
            self.output_weight,
            targets,
            bias=self.output_bias,
            label_smoothing=label_smoothing,
        )
        if next_sentence is None:
            return total, count
        logits = self._next_sentence_logits(first).float()  # (batch, 2)
        losses = F.cross_entropy(logits, next_sentence, reduction="none", ignore_index=IGNORED)  # (batch)
        return total + (losses * (targets != IGNORED).sum(dim=1)).sum(), count

    def dummy_batch(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """One full training row as `loss` takes it, for counting FLOPs: mask_rate of its tokens are targets."""
        ids = torch.zeros(1, self.config.context_length, dtype=torch.long)  # (batch, time)
        targets = ids[:, : max(1, round(objective.mask_rate * self.config.context_length))]  # (batch, targets)
        return {"inputs": ids, "targets": targets, "target_positions": targets}

    def _first_and_targets(
        self, inputs: Tensor, target_positions: Tensor | None, how: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """States of the first place, (batch, 1, d_model), and of the targets or all, (batch, targets, d_model)."""
        if target_positions is None:
            hidden = self.hidden_states(inputs, **how)  # (batch, time, d_model)
            return hidden[:, :1], hidden
        places = torch.cat((first_place(inputs), target_positions), dim=1)  # (batch, 1 + targets)
        hidden = self.hidden_states(inputs, places=places, **how)  # (batch, 1 + targets, d_model)
        return hidden[:, :1], hidden[:, 1:]

    def _masked_lm_head(self) -> "MaskedLMHead":
        if self.lm_head is None:
            raise ValueError("this network has no masked-LM head: build it with lm_head=True")
        return self.lm_head

    def _next_sentence_logits(self, hidden: Tensor) -> Tensor:
        if self.next_sentence_head is None:
            raise ValueError("this network has no next-sentence head: build it with next_sentence=True")
        return self.next_sentence_head(self.pooled(hidden))  # (batch, 2)


def first_place(inputs: Tensor) -> Tensor:
    """Where the first of the tokens (batch, time) stands, which the pooler reads: (batch, 1)."""
    return torch.zeros_like(inputs[:, :1])


class MaskedLMHead(nn.Module):
    """A dense layer, the activation and a norm before the output layer.

    Also holds the output layer's biases, and its weights unless they are the token embedding's.
    """

    def __init__(self, config: BertConfig, vocab_size: int) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.activation = (PLAIN | GATED)[config.activation]  # of a gated one, that of its gate
        self.norm = build_norm(config.norm, config.d_model, bias=config.bias, eps=config.norm_eps)
        self.output_bias = nn.Parameter(torch.zeros(vocab_size)) if config.bias else None
        self.output = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> what the output layer reads, the same shape."""
        return self.norm(self.activation(self.dense(hidden)))
