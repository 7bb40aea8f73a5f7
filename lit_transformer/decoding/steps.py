"""Networks that read one token more at a time, for the searches: `step`, and `reorder` as hypotheses come and go."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lit_transformer.decoding.sampling import NextTokenModel
from lit_transformer.models.seq2seq import Seq2Seq

DROPPED = 8
"""Finished sources leave the batch once they are one in so many: the others' memory is copied when some leave."""


class Steps(ABC):
    """Rows of tokens that grow; without a cache every token is read again at each step."""

    def __init__(self, *, cached: bool) -> None:
        self._cached = cached
        self._ids: Tensor | None = None

    def step(self, tokens: Tensor) -> Tensor:
        """Read new tokens (rows, new) and give the logits of what follows: (rows, vocab_size)."""
        if not self._cached:
            tokens = tokens if self._ids is None else torch.cat((self._ids, tokens), dim=1)  # (rows, time)
            self._ids = tokens
        return self.read(tokens)

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> None:
        """Row i goes on from the old row `rows[i]`; a source's rows stay together, as many as every other's.

        sources: places of those that still have rows; None: all.
        """
        if self._ids is not None:
            self._ids = self._ids[rows]
        self.reorder_state(rows, sources)

    @abstractmethod
    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last of tokens (rows, time): all of them, or what the cache lacks."""

    @abstractmethod
    def reorder_state(self, rows: Tensor, sources: Tensor | None) -> None:
        """What `reorder` does to everything held for rows or sources."""


class SourceSteps(Steps):
    """The target side of an encoder-decoder; all hypotheses of a source share its memory."""

    def __init__(
        self, network: Seq2Seq, inputs: Tensor, input_mask: Tensor | None = None, *, cached: bool = True
    ) -> None:
        super().__init__(cached=cached)
        self.network, self.mask = network, input_mask
        self.memory = network.encode(inputs, input_mask=input_mask)  # (sources, time, d_model)
        self.cache = network.new_cache() if cached else None

    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last token."""
        hidden = self.network.decode(tokens, self.memory, memory_mask=self.mask, cache=self.cache)
        return self.network.logits(hidden[:, -1])

    def reorder_state(self, rows: Tensor, sources: Tensor | None) -> None:
        """Rows change places only within their source: what is known of a source stays, unless it goes."""
        if self.cache is not None:
            self.cache.reorder(rows, same_sources=True)
        if sources is None:
            return
        self.memory = self.memory[sources]
        self.mask = None if self.mask is None else self.mask[sources]
        if self.cache is not None:
            self.cache.cross_attention.reorder(sources)


class PromptSteps(Steps):
    """A decoder-only network that goes on from prompts of one length, the first `prefix` tokens of which it sees whole.

    prefix None: every token sees those before it alone.
    """

    def __init__(self, network: NextTokenModel, *, prefix: int | None = None, cached: bool = True) -> None:
        super().__init__(cached=cached)
        self.network, self.prefix = network, prefix
        self.cache = network.new_cache() if cached else None

    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last token."""
        prefix_length = None if self.prefix is None else tokens.new_full((len(tokens),), self.prefix)  # (rows,)
        hidden = self.network.hidden_states(tokens, cache=self.cache, prefix_length=prefix_length)
        return self.network.logits(hidden[:, -1])

    def reorder_state(self, rows: Tensor, sources: Tensor | None) -> None:
        """Every row carries its prompt."""
        if self.cache is not None:
            self.cache.reorder(rows)
