"""Keys and values of tokens already seen, so that generation computes each of them once."""

import torch
from torch import Tensor


class LayerCache:
    """Keys and values of one attention layer, each (batch, num_kv_heads, length, head_dim)."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new tokens and return all of them; the first call fixes batch, heads and type.

        Raises ValueError beyond max_length.
        """
        start, end = self.length, self.length + keys.shape[2]
        if end > self.max_length:
            raise ValueError(f"the cache holds {self.max_length} tokens, and {end} were put in")
        if self._keys is None or self._values is None:
            shape = (keys.shape[0], keys.shape[1], self.max_length, keys.shape[3])
            self._keys, self._values = keys.new_empty(shape), values.new_empty(shape)
        self._keys[:, :, start:end], self._values[:, :, start:end] = keys, values
        self.length = end
        return self.contents()

    def contents(self) -> tuple[Tensor, Tensor]:
        """Everything put in so far."""
        if self._keys is None or self._values is None:
            raise ValueError("the cache is empty")
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]

    def reorder(self, rows: Tensor) -> None:
        """Row i becomes the old row `rows[i]` (beam search); rows may be repeated or dropped."""
        if self._keys is not None and self._values is not None:
            self._keys, self._values = self._keys[rows], self._values[rows]


class KVCache:
    """One LayerCache per attention layer of a network."""

    def __init__(self, num_layers: int, max_length: int) -> None:
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


def new_positions(time: int, cache: KVCache | None, device: torch.device) -> Tensor:
    """Positions of `time` tokens that follow the cached ones: (1, time)."""
    start = 0 if cache is None else cache.length
    return torch.arange(start, start + time, device=device)[None]
