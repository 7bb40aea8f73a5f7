"""How a network knows where a token stands. Positions are ids of shape (batch, time); batch 1 broadcasts.

Learned positions are an `nn.Embedding` over these ids. Sines are computed at each call and in float32: a stored table
would be rounded with the weights in bf16-true and lost when a network is built on the meta device.
"""

import torch
from torch import Tensor, nn

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, each (batch, 1, time, head_dim)."""


def _angles(positions: Tensor, width: int, base: float) -> Tensor:
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=positions.device) / width
    return positions[..., None].float() * base**-exponents  # (batch, time, width / 2)


class SinusoidalPositions(nn.Module):
    """Fixed encodings, sine and cosine interleaved (Vaswani et al. 2017, 3.5): ids -> (batch, time, d_model)."""

    def __init__(self, *, d_model: int, base: float = 10_000.0) -> None:
        super().__init__()
        if d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, not {d_model}")
        self.d_model, self.base = d_model, base

    def forward(self, positions: Tensor) -> Tensor:
        angles = _angles(positions, self.d_model, self.base)
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)  # (batch, time, d_model)


class RotaryPositions(nn.Module):
    """Angles by which `rotate` turns queries and keys (RoFormer, Su et al. 2021, section 3.4): ids -> Rotary."""

    def __init__(self, *, head_dim: int, base: float = 10_000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions need an even width of a head, not {head_dim}")
        self.head_dim, self.base = head_dim, base

    def forward(self, positions: Tensor) -> Rotary:
        angles = _angles(positions, self.head_dim, self.base)
        angles = torch.cat((angles, angles), dim=-1)[:, None]  # (batch, 1, time, head_dim)
        return angles.cos(), angles.sin()


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turn x (batch, heads, time, head_dim) by its positions; element i is paired with i + head_dim / 2."""
    cosines, sines = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cosines.to(x.dtype) + torch.cat((-second, first), dim=-1) * sines.to(x.dtype)
