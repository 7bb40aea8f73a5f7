"""Networks that read one token more at a time, for the searches: `step`, and `reorder` as hypotheses come and go."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from lit_transformer.config.models import TextModelConfig
from lit_transformer.nn.cache import DecoderCache, KVCache

DROPPED = 8
"""Finished sources leave the batch once they are one in so many: the others' memory is copied when some leave."""


class SourceNetwork(Protocol):
    """An encoder-decoder."""

    @property
    def config(self) -> TextModelConfig:
        """The network's settings."""

    def encode(self, inputs: Tensor, *, input_mask: Tensor | None = None) -> Tensor:
        """Sources (rows, time) -> memory (rows, time, d_model)."""

    def decode(
        self,
        decoder_inputs: Tensor,
        memory: Tensor,
        *,
        memory_mask: Tensor | None = None,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        """Ids (rows, time) -> (rows, time, d_model); n times as many rows as memory has share it n by n."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> logits (..., vocab_size)."""

    def new_cache(self) -> DecoderCache:
        """An empty cache."""


class PromptNetwork(Protocol):
    """A decoder-only network."""

    @property
    def config(self) -> TextModelConfig:
        """The network's settings."""

    def hidden_states(self, inputs: Tensor, *, cache: KVCache | None = None) -> Tensor:
        """Ids (rows, time) -> (rows, time, d_model)."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., d_model) -> logits (..., vocab_size)."""

    def new_cache(self) -> KVCache:
        """An empty cache."""


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

    def reorder(self, rows: Tensor) -> None:
        """Row i goes on from the old row `rows[i]`; rows of one source stay together, equally many for each."""
        if self._ids is not None:
            self._ids = self._ids[rows]
        self.reorder_cache(rows)

    def keep(self, sources: Tensor) -> None:
        """Forget every source but these, after their rows are gone."""

    @abstractmethod
    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last token."""

    @abstractmethod
    def reorder_cache(self, rows: Tensor) -> None:
        """What `reorder` does to the cache."""


class SourceSteps(Steps):
    """An encoder-decoder's target side; all hypotheses of a source share its memory."""

    def __init__(
        self, network: SourceNetwork, inputs: Tensor, input_mask: Tensor | None = None, *, cached: bool = True
    ) -> None:
        super().__init__(cached=cached)
        self.network, self.mask = network, input_mask
        self.memory = network.encode(inputs, input_mask=input_mask)  # (sources, time, d_model)
        self.cache = network.new_cache() if cached else None

    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last token."""
        hidden = self.network.decode(tokens, self.memory, memory_mask=self.mask, cache=self.cache)
        return self.network.logits(hidden[:, -1])

    def reorder_cache(self, rows: Tensor) -> None:
        """The memory's keys and values stay: rows change places only within their source."""
        if self.cache is not None:
            self.cache.self_attention.reorder(rows)

    def keep(self, sources: Tensor) -> None:
        """Forget every source but these."""
        self.memory = self.memory[sources]
        self.mask = None if self.mask is None else self.mask[sources]
        if self.cache is not None:
            self.cache.cross_attention.reorder(sources)


class PromptSteps(Steps):
    """A decoder-only network that continues prompts of one length."""

    def __init__(self, network: PromptNetwork, *, cached: bool = True) -> None:
        super().__init__(cached=cached)
        self.network = network
        self.cache = network.new_cache() if cached else None

    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last token."""
        return self.network.logits(self.network.hidden_states(tokens, cache=self.cache)[:, -1])

    def reorder_cache(self, rows: Tensor) -> None:
        """Every row carries its prompt."""
        if self.cache is not None:
            self.cache.reorder(rows)
