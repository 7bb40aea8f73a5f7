"""Some places in time out of all: what is computed there alone costs less."""

from torch import Tensor


def take(x: Tensor, places: Tensor) -> Tensor:
    """Rows of x (batch, time, width) at places (batch, n): (batch, n, width)."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


def take_queries(mask: Tensor, places: Tensor) -> Tensor:
    """The part of a mask (batch, 1, queries, keys) for queries at places (batch, n); that of all queries stays."""
    if mask.shape[2] == 1:
        return mask
    return mask.gather(2, places[:, None, :, None].expand(-1, -1, -1, mask.shape[3]))  # (batch, 1, n, keys)
