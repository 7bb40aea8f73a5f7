"""The feed-forward layer and its activations."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.nn.dropout import Dropout
from lit_transformer.nn.linear import Linear

ActivationName = Literal[
    "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu", "reglu", "geglu", "geglu_tanh", "swiglu"
]  # fmt: skip

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
}
GATED: dict[str, Callable[[Tensor], Tensor]] = {
    "reglu": F.relu,
    "geglu": F.gelu,
    "geglu_tanh": partial(F.gelu, approximate="tanh"),
    "swiglu": F.silu,
}


class FeedForward(nn.Module):
    """Two linear layers around an activation; a gated one multiplies act(x W) by x V (Shazeer 2020), d_ff wide each.

    W and V of a gated layer are the first and the second half of one matrix. dropout acts between the linear layers.
    Raises ValueError for an unknown name.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_ff: int,
        activation: ActivationName = "gelu",
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if activation not in PLAIN | GATED:
            raise ValueError(f"no activation is called {activation!r}; there are {', '.join(PLAIN | GATED)}")
        self.gated = activation in GATED
        self.activation = (PLAIN | GATED)[activation]
        self.input = Linear(d_model, 2 * d_ff if self.gated else d_ff, bias=bias)
        self.output = Linear(d_ff, d_model, bias=bias)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.input(x)  # (batch, time, d_ff), twice as wide when gated
        if not self.gated:
            return self.output(self.dropout(self.activation(hidden)))  # (batch, time, d_model)
        gate, value = hidden.chunk(2, dim=-1)  # (batch, time, d_ff) each
        return self.output(self.dropout(self.activation(gate) * value))  # (batch, time, d_model)
