"""GLM: reads a text with blanks in both directions and fills them from left to right (Du et al. 2022).

A row is the text with each blank as one token (part A, the prefix), then the blanks' spans one after another (part B).
Every token has two positions, both learned: in part A its place in the text, counted from 1, and 0; in part B the
place of its blank, and its place in the span, counted from 1 (sections 2.1 and 2.2).
"""

from typing import Any

import torch
from torch import Tensor, nn

from lit_transformer.config.models import GLMConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.base import TextNetwork, known_vocabulary
from lit_transformer.models.stack import build_blocks, build_last_norm, run_blocks
from lit_transformer.nn.cache import KVCache, new_positions
from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.initialisation import initialise
from lit_transformer.nn.masks import prefix_mask


class GLM(TextNetwork):
    """Token ids (batch, time) -> logits of the token that follows each in its span (batch, time, vocab_size).

    Both tables of positions have context_length + 1 rows, 0 to context_length: enough for any row of context_length
    tokens, be it all part A, or one blank and its span.
    """

    config: GLMConfig

    def __init__(self, config: GLMConfig) -> None:
        super().__init__()
        self.config = config
        vocab_size = known_vocabulary(config)
        self.token_embedding = nn.Embedding(vocab_size, config.d_model)
        self.position_embedding = nn.Embedding(config.context_length + 1, config.d_model)
        self.block_position_embedding = nn.Embedding(config.context_length + 1, config.d_model)
        self.dropout = Dropout(config.dropout)
        self.blocks = build_blocks(config)
        self.norm = build_last_norm(config)
        self.head = None if config.tie_embeddings else nn.Linear(config.d_model, vocab_size, bias=False)
        initialise(self, std=config.init_std, num_layers=config.num_layers)

    @property
    def output_weight(self) -> Tensor:
        """Weights of the output layer, (vocab_size, d_model)."""
        return self.token_embedding.weight if self.head is None else self.head.weight

    def forward(
        self,
        inputs: Tensor,
        *,
        prefix_length: Tensor | None = None,
        positions: Tensor | None = None,
        block_positions: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Logits (batch, time, vocab_size); the options are those of `hidden_states`."""
        hidden = self.hidden_states(
            inputs, prefix_length=prefix_length, positions=positions, block_positions=block_positions, cache=cache
        )
        return self.logits(hidden)

    def hidden_states(  # type: ignore[override]  # its options by name
        self,
        inputs: Tensor,
        *,
        prefix_length: Tensor | None = None,
        positions: Tensor | None = None,
        block_positions: Tensor | None = None,
        cache: KVCache | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Output of the last block after the final norm: (batch, time, d_model), or (batch, n, d_model) of n places.

        prefix_length (batch) is that of part A; None: every token sees those before it alone. positions and
        block_positions (batch, time); None: those of part A. With a cache, inputs are the tokens after those that it
        holds, and the first call holds every row's whole prefix: rows of one cache have prefixes of one length. places
        (batch, n) in time are those whose states are wanted, which spares most of the last block; None: all.
        """
        if positions is None:
            positions = new_positions(inputs.shape[1], cache, inputs.device) + 1  # (1, time)
        if block_positions is None:
            block_positions = torch.zeros_like(positions)
        x = self.token_embedding(inputs)  # (batch, time, d_model)
        x = x + self.position_embedding(positions) + self.block_position_embedding(block_positions)
        x = self.dropout(x)
        filled = cache is not None and cache.length > 0  # what follows a prefix sees it anyway
        mask = None if prefix_length is None or filled else prefix_mask(prefix_length, inputs.shape[1])
        x = run_blocks(self.blocks, x, mask=mask, causal=mask is None, cache=cache, places=places)
        return self.norm(x)

    def target_hidden(self, inputs: Tensor, *, target_positions: Tensor | None = None, **how: Any) -> Tensor:
        """What the output layer reads at target_positions (batch, n), or everywhere: (batch, n, d_model)."""
        return self.hidden_states(inputs, places=target_positions, **how)

    def new_cache(self) -> KVCache:
        """An empty cache for generation; it holds context_length tokens."""
        return KVCache(self.config.num_layers, self.config.context_length)

    def dummy_batch(self, objective: ObjectiveConfig) -> dict[str, Tensor]:
        """One full training row as `loss` takes it, for counting FLOPs.

        By the defaults one span of 3 is taken of 20 tokens: 18 places of part A, and 4 of part B with its first token.
        """
        time, rate = self.config.context_length, objective.mask_rate
        spans = rate / objective.mean_span  # for each token of text, which becomes 1 + 2 x spans places
        ids = torch.zeros(1, time, dtype=torch.long)  # (batch, time)
        targets = ids[:, : max(1, round(time * (rate + spans) / (1 + 2 * spans)))]  # (batch, targets)
        places = {"positions": ids, "block_positions": ids, "target_positions": targets}
        return {"inputs": ids, "targets": targets, "prefix_length": ids[:, 0] + time - targets.shape[1], **places}
