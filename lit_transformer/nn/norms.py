"""Normalisation layers by name."""

from typing import Literal

from torch import nn

NormName = Literal["layer_norm", "rms_norm"]


def build_norm(name: NormName, d_model: int, *, bias: bool = True, eps: float = 1e-5) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019, never with a bias) over the last axis."""
    if name == "layer_norm":
        return nn.LayerNorm(d_model, eps=eps, bias=bias)
    if name == "rms_norm":
        return nn.RMSNorm(d_model, eps=eps)
    raise ValueError(f"no normalisation layer is called {name!r}; there are layer_norm and rms_norm")
