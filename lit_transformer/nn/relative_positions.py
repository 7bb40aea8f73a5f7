"""Relative positions as a learned bias of attention scores (Raffel et al. 2020, section 2.1)."""

import math

import torch
from torch import Tensor, nn


def buckets(distances: Tensor, *, num_buckets: int, max_distance: int, bidirectional: bool) -> Tensor:
    """Bucket of each distance, key's place - query's place; the same shape, 0 to num_buckets - 1.

    Half of the buckets hold one distance each, the others ranges that grow logarithmically; from max_distance on all
    distances share the last. Bidirectional: the second half of all is for keys after the query; else those count as
    distance 0.
    """
    if bidirectional:
        num_buckets //= 2
        first, distances = num_buckets * (distances > 0), distances.abs()
    else:
        first, distances = torch.zeros_like(distances), (-distances).clamp(min=0)
    exact = num_buckets // 2
    # In float32 and in this order, as published checkpoints were trained: a distance at an edge is a rounding away.
    share = torch.log(distances.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    logarithmic = (exact + (share * (num_buckets - exact)).long()).clamp(max=num_buckets - 1)
    return first + torch.where(distances < exact, distances, logarithmic)


class RelativePositionBias(nn.Module):
    """One learned number for each head and bucket of distances, for all layers of a stack.

    Raises ValueError where max_distance leaves no distances for the logarithmic buckets.
    """

    def __init__(
        self, *, num_heads: int, num_buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
    ) -> None:
        super().__init__()
        exact = num_buckets // (4 if bidirectional else 2)
        if not 0 < exact < max_distance:
            raise ValueError(f"with {num_buckets} buckets max_distance must be over {exact}, not {max_distance}")
        self.num_buckets, self.max_distance, self.bidirectional = num_buckets, max_distance, bidirectional
        self.embedding = nn.Embedding(num_buckets, num_heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        """Bias (1, heads, queries, keys), where the last query stands at the last key."""
        places = torch.arange(keys, device=self.embedding.weight.device)
        distances = places - places[keys - queries :, None]  # (queries, keys)
        ids = buckets(
            distances,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )
        return self.embedding(ids).permute(2, 0, 1)[None]  # (1, heads, queries, keys)
