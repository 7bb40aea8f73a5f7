"""Keys and values of tokens already seen, so that generation computes each of them once."""

import torch
from torch import Tensor

FIRST_ROOM = 32
"""Tokens that the first `append` makes room for."""


class LayerCache:
    """Keys and values of one attention layer, each (batch, num_kv_heads, length, head_dim).

    max_length None: what one `append` brings is all there is, and is kept as it is.
    """

    def __init__(self, max_length: int | None) -> None:
        self.max_length = max_length
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self._spare: tuple[Tensor | None, Tensor | None] = (None, None)
        """What the last `reorder` left behind, for the next."""

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new tokens and return all of them; the first call fixes batch, heads and type.

        Raises ValueError beyond max_length.
        """
        if self.max_length is None:
            self._keys, self._values, self.length = keys, values, keys.shape[2]
            return keys, values
        start, end = self.length, self.length + keys.shape[2]
        if end > self.max_length:
            raise ValueError(f"the cache holds {self.max_length} tokens, and {end} were put in")
        room = 0 if self._keys is None else self._keys.shape[2]
        if end > room:  # doubled, because few texts are as long as max_length
            room = min(max(end, 2 * room, FIRST_ROOM), self.max_length)
            self._keys, self._values = self._wider(self._keys, keys, room), self._wider(self._values, values, room)
        assert self._keys is not None and self._values is not None
        self._keys[:, :, start:end], self._values[:, :, start:end] = keys, values
        self.length = end
        return self.contents()

    def _wider(self, old: Tensor | None, like: Tensor, room: int) -> Tensor:
        wider = like.new_empty(*like.shape[:2], room, like.shape[3])
        if old is not None:
            wider[:, :, : self.length] = old[:, :, : self.length]
        return wider

    def contents(self) -> tuple[Tensor, Tensor]:
        """Everything put in so far."""
        if self._keys is None or self._values is None:
            raise ValueError("the cache is empty")
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row `rows[i]` (beam search); rows may be repeated or dropped. Without gradients."""
        if self._keys is None or self._values is None:
            return
        if self.max_length is None:
            self._keys, self._values = self._keys.index_select(0, rows), self._values.index_select(0, rows)
            return
        old, spare = (self._keys, self._values), self._spare
        self._keys, self._values = (self._chosen(x, rows, y) for x, y in zip(old, spare, strict=True))
        self._spare = old

    def _chosen(self, old: Tensor, rows: Tensor, spare: Tensor | None) -> Tensor:
        if spare is None or spare.shape != (len(rows), *old.shape[1:]):
            spare = old.new_empty(len(rows), *old.shape[1:])
        # Tokens alone, not the room behind them, and into memory that is there: a search does this at each step.
        torch.index_select(old[:, :, : self.length], 0, rows, out=spare[:, :, : self.length])
        return spare


class KVCache:
    """One LayerCache per attention layer of a network."""

    def __init__(self, num_layers: int, max_length: int | None) -> None:
        self.layers = [LayerCache(max_length) for _ in range(num_layers)]

    @property
    def length(self) -> int:
        """Tokens held."""
        return self.layers[0].length

    def reset(self) -> None:
        """Forget every token; the memory is kept."""
        for layer in self.layers:
            layer.length = 0

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row `rows[i]` in every layer."""
        for layer in self.layers:
            layer.reorder(rows)


class DecoderCache:
    """Caches of a decoder with attention over an encoder's output: of its own tokens, and of the source's."""

    def __init__(self, num_layers: int, max_length: int) -> None:
        self.self_attention = KVCache(num_layers, max_length)
        self.cross_attention = KVCache(num_layers, None)

    @property
    def length(self) -> int:
        """Tokens decoded."""
        return self.self_attention.length

    def reset(self) -> None:
        """Forget every token and the source."""
        self.self_attention.reset()
        self.cross_attention.reset()

    def reorder(self, rows: Tensor, *, same_sources: bool = False) -> None:
        """Row i becomes the old row `rows[i]`; same_sources: each has the source it had, which spares most copies."""
        self.self_attention.reorder(rows)
        if not same_sources:
            self.cross_attention.reorder(rows)


def new_positions(time: int, cache: KVCache | DecoderCache | None, device: torch.device) -> Tensor:
    """Positions of `time` tokens that follow the cached ones: (1, time)."""
    start = 0 if cache is None else cache.length
    return torch.arange(start, start + time, device=device)[None]
