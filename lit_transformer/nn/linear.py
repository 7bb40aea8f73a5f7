"""Linear layers that train faster on CPUs that are not Intel's.

torch gives their products to MKL, which keeps its widest vector kernels for Intel's processors; oneDNN, which is in
torch as well, has them for all. On Intel's MKL is the faster of the two, most where the system must first give memory
for the result.
"""

import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from lit_transformer.nn.eager_cpu import eager_cpu

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this torch has the operator, which is not one of its public ones."""


def _made_by_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux
        return "GenuineIntel" in platform.processor()


ONEDNN = HAS_ONEDNN and not (torch.backends.mkl.is_available() and _made_by_intel())
"""Whether products go to oneDNN: by the processor and not by a measurement, so that runs on a machine are alike."""


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (rows, inputs) times weight (outputs, inputs), which may be a transposed view, without a gradient."""
    if not ONEDNN or x.device.type != "cpu" or x.dtype != torch.float32 or not x.numel():
        return F.linear(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return product(x.flatten(0, -2), weight, bias).view(*x.shape[:-1], len(weight))  # (..., outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.flatten(0, -2)  # (rows, outputs)
        for_x = product(gradient, weight.T).view(x.shape) if ctx.needs_input_grad[0] else None
        # Here oneDNN would first copy both factors.
        for_weight = gradient.T @ x.flatten(0, -2) if ctx.needs_input_grad[1] else None  # (outputs, inputs)
        return for_x, for_weight, gradient.sum(0) if ctx.biased else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch.nn.functional.linear for x (..., inputs) of two axes or more; differentiable once."""
    return _Linear.apply(x, weight, bias) if ONEDNN and eager_cpu(x, weight) else F.linear(x, weight, bias)


class Linear(nn.Linear):
    """torch's layer through `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
