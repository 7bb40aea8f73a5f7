"""Activation checkpointing (Chen et al. 2016): keep what enters a block and compute the rest again going backward."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputable(nn.Module):
    """A block whose training can keep its input alone; a subclass gives `compute`, which stands for its forward."""

    recompute = False
    """Whether to keep the input alone; the same numbers, dropout included."""

    def compute(self, x: Tensor, *inputs: Tensor, **options: Any) -> Tensor:
        """The block's output."""
        raise NotImplementedError

    def forward(self, x: Tensor, *inputs: Tensor, **options: Any) -> Tensor:
        """`compute`, with the same arguments."""
        if self.recompute and self.training and torch.is_grad_enabled():
            return checkpoint(self.compute, x, *inputs, use_reentrant=False, **options)
        return self.compute(x, *inputs, **options)


def recompute_blocks(network: nn.Module) -> int:
    """Let every block of a network keep its input alone; how many there are."""
    blocks = [module for module in network.modules() if isinstance(module, Recomputable)]
    for block in blocks:
        block.recompute = True
    return len(blocks)
