"""Padded rows without their padding: what is computed token by token then costs nothing there."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit_transformer.nn.losses import IGNORED

WORTH = 24
"""Share of padding times d_model from which on it pays: moving rows takes d_model, what is saved its square."""

_padded = ContextVar("_padded", default=False)
"""Whether nothing is packed at present."""


@contextmanager
def padded() -> Iterator[None]:
    """Within it every row keeps its padding, for whoever looks at a layer row by row."""
    token = _padded.set(True)
    try:
        yield
    finally:
        _padded.reset(token)


class Packing:
    """Where the tokens of a padded batch stand: kept (batch, time), True = a token."""

    def __init__(self, kept: Tensor) -> None:
        self.batch, self.time = kept.shape
        kept = kept.flatten()
        self._places = kept.nonzero()[:, 0]  # (tokens,)
        self._numbers = (kept.cumsum(0) - 1).where(kept, 0)  # (batch * time,)

    def __len__(self) -> int:
        return len(self._places)

    def pack(self, x: Tensor) -> Tensor:
        """(batch, time, width) -> (1, tokens, width)."""
        return _Pack.apply(x.flatten(0, 1), self._places)[None]

    def unpack(self, x: Tensor) -> Tensor:
        """(1, tokens, width) -> (batch, time, width).

        Padding gets what the first token has. Whoever reads it must let no gradient come back: none is taken there.
        """
        return _Unpack.apply(x[0], self._numbers, self._places).unflatten(0, (self.batch, self.time))


def can_pack(x: Tensor) -> bool:
    """Not on a GPU, which would wait for the number of tokens, nor compiled, where each number is a new shape."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not _padded.get()


def packing_of(kept: Tensor | None, d_model: int) -> Packing | None:
    """That of kept (batch, time) for a network of d_model; None where it cannot be or does not pay."""
    if kept is None or not can_pack(kept):
        return None
    packing = Packing(kept)
    pays = (1 - len(packing) / kept.numel()) * d_model >= WORTH
    return packing if pays and len(packing) else None


def packed(x: Tensor, packing: Packing | None) -> Tensor:
    """`Packing.pack`, or x itself without one."""
    return x if packing is None else packing.pack(x)


def unpacked(x: Tensor, packing: Packing | None) -> Tensor:
    """`Packing.unpack`, or x itself without one."""
    return x if packing is None else packing.unpack(x)


def until_last_target(targets: Tensor) -> Tensor:
    """Which places (batch, time) stand at or before the row's last target, the same shape."""
    return (targets != IGNORED).flip(1).cumsum(1).flip(1) > 0


class _Pack(torch.autograd.Function):
    """Rows of x (all, width) at places (n,), which differ, with a gradient that copies instead of adding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.all, ctx.places = len(x), places
        return x.index_select(0, places)  # (n, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.new_zeros(ctx.all, gradient.shape[1]).index_copy_(0, ctx.places, gradient), None


class _Unpack(torch.autograd.Function):
    """Rows of x (n, width) by numbers (all,), with the gradient of the one at each of places (n,) alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, numbers: Tensor, places: Tensor) -> Tensor:
        ctx.places = places
        return x.index_select(0, numbers)  # (all, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient.index_select(0, ctx.places), None, None
