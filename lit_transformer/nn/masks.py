"""Boolean attention masks, True = may attend, that broadcast to (batch, heads, queries, keys)."""

import torch
from torch import Tensor


def causal_mask(queries: int, keys: int, *, device: torch.device | None = None) -> Tensor:
    """No query sees a later key: (queries, keys), where the last query stands at the last key."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def prefix_mask(prefix_length: Tensor, time: int) -> Tensor:
    """All see the row's prefix, and none another later place: prefix_length (batch) -> (batch, 1, time, time)."""
    inside = torch.arange(time, device=prefix_length.device) < prefix_length[:, None]  # (batch, time)
    return (inside[:, None] | causal_mask(time, time, device=prefix_length.device))[:, None]


def padding_mask(ids: Tensor, pad_id: int) -> Tensor:
    """Nobody sees padding: ids (batch, keys) -> (batch, 1, 1, keys)."""
    return (ids != pad_id)[:, None, None, :]


def combine(*masks: Tensor | None) -> Tensor | None:
    """What every given mask allows; None allows everything."""
    result: Tensor | None = None
    for mask in masks:
        if mask is not None:
            result = mask if result is None else result & mask
    return result
