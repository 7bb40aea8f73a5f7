"""Normalisation layers by name."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lit_transformer.nn.eager_cpu import eager_cpu

NormName = Literal["layer_norm", "rms_norm"]


def build_norm(name: NormName, d_model: int, *, bias: bool = True, eps: float = 1e-5) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019, never with a bias) over the last axis."""
    if name == "layer_norm":
        return nn.LayerNorm(d_model, eps=eps, bias=bias)
    if name == "rms_norm":
        return RMSNorm(d_model, eps=eps)
    raise ValueError(f"no normalisation layer is called {name!r}; there are layer_norm and rms_norm")


class RMSNorm(nn.RMSNorm):
    """torch's layer, which on a CPU is made of small operators, with a gradient that takes half the time."""

    def forward(self, x: Tensor) -> Tensor:
        return _RMSNorm.apply(x, self.weight, self.eps) if eager_cpu(x, self.weight) else super().forward(x)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        lengths = torch.linalg.vector_norm(x, dim=-1, keepdim=True)  # (..., 1)
        factors = lengths.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        normal = x * factors
        ctx.save_for_backward(normal, weight, factors)
        return normal * weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        normal, weight, factors = ctx.saved_tensors
        products = (gradient * normal).flatten(0, -2)  # (rows, d_model)
        along = (products @ weight).div_(-len(weight)).view(factors.shape)  # (..., 1)
        return (gradient * weight).addcmul_(normal, along).mul_(factors), products.sum(0), None
