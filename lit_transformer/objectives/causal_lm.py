"""Causal language modelling: predict the next token (Radford et al. 2018, section 3.1)."""

from typing import NamedTuple

import numpy as np

from lit_transformer.objectives.ids import Ids


class CausalLM(NamedTuple):
    """What the network sees and what it must predict, both (..., time)."""

    inputs: Ids
    targets: Ids


def causal_lm(ids: Ids) -> CausalLM:
    """Ids (..., time + 1) -> all but the last, and all but the first; a target of -100 stays one to be ignored."""
    return CausalLM(inputs=ids[..., :-1], targets=ids[..., 1:])


def invert_causal_lm(example: CausalLM) -> Ids:
    """The ids (..., time + 1) that `causal_lm` was given."""
    return np.concatenate((example.inputs[..., :1], example.targets), axis=-1)
