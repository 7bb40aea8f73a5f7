"""Dropout (Srivastava et al. 2014) with a mask that is cheap to draw on a CPU.

On a CPU torch draws one random number for each element, a sixth of a small network's training step. Here one draw of 64
bits serves four elements, 16 bits each: the chance of dropping is p to the nearest 1 / 65536, and the kept elements are
scaled by the exact inverse of their chance, so the mean is kept. The bits come from torch's global generator. On other
devices torch's own fused dropout is used.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16


@torch.library.custom_op("lit_transformer::dropout_mask", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _dropout_mask(like: Tensor, p: float) -> Tensor:
    return draw_mask(like, p)


@_dropout_mask.register_fake
def _(like: Tensor, p: float) -> Tensor:
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def draw_mask(like: Tensor, p: float) -> Tensor:
    """Independent factors of the shape and type of `like`: 0 with probability p, else 1 / (1 - p)."""
    dropped = round(p * LEVELS)
    bits = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    numbers = bits.view(torch.int16)[: like.numel()].view(like.shape)  # uniform on -32768 .. 32767
    mask = torch.empty(like.shape, dtype=like.dtype, device=like.device)
    torch.ge(numbers, dropped - LEVELS // 2, out=mask)
    return mask.mul_(LEVELS / (LEVELS - dropped))


def dropout_mask(like: Tensor, p: float) -> Tensor:
    """`draw_mask`, opaque to the compiler, which would draw the numbers more slowly."""
    return _dropout_mask(like.detach(), p) if torch.compiler.is_compiling() else draw_mask(like, p)


def dropout(x: Tensor, p: float, *, training: bool) -> Tensor:
    """x with each element 0 with probability p, else over 1 - p; x itself when not training."""
    if not training or p == 0:
        return x
    if x.device.type != "cpu" or p == 1:
        return F.dropout(x, p)
    return x * dropout_mask(x, p)


class Dropout(nn.Module):
    """The layer of `dropout`. Raises ValueError where p is not in [0, 1]."""

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout is a probability from 0 to 1, not {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, training=self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
