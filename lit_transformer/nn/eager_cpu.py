"""When layers train in their faster way by hand: uncompiled, in float32, on a CPU."""

import torch
from torch import Tensor


def eager_cpu(*tensors: Tensor) -> bool:
    """Whether gradients are wanted, nothing is compiled or autocast, and the tensors are float32 on a CPU.

    A compiler fuses better by itself and cannot look into Python functions with gradients of their own.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
