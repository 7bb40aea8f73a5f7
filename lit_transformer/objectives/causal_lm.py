"""Causal language modelling: predict the next token (Radford et al. 2018, section 3.1)."""

from typing import NamedTuple

import torch
from torch import Tensor


class CausalLMBatch(NamedTuple):
    """What the network sees and what it must predict, both (batch, time)."""

    inputs: Tensor
    targets: Tensor


def causal_lm(ids: Tensor) -> CausalLMBatch:
    """Ids (batch, time + 1) -> all but the last, and all but the first; a target of -100 stays one to be ignored."""
    return CausalLMBatch(inputs=ids[:, :-1], targets=ids[:, 1:])


def invert_causal_lm(batch: CausalLMBatch) -> Tensor:
    """The ids (batch, time + 1) that `causal_lm` was given."""
    return torch.cat((batch.inputs[:, :1], batch.targets), dim=1)
