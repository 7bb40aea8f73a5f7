"""Prefix language modelling: see a prefix whole, predict what follows it (Raffel et al. 2020, section 3.2.1)."""

from typing import NamedTuple

import numpy as np

from lit_transformer.objectives.ids import IGNORED, Ids


class PrefixLM(NamedTuple):
    """One row: who may see what follows from prefix_length, place i sees j where j < prefix_length or j <= i."""

    inputs: Ids
    """(time,)"""
    targets: Ids
    """(time,), -100 where the next token is one of the prefix."""
    prefix_length: int


def prefix_lm(ids: Ids, generator: np.random.Generator) -> PrefixLM:
    """Ids (time + 1,), two or more -> a row whose prefix is 1 to `time` tokens long, each length as likely."""
    prefix_length = int(generator.integers(1, len(ids)))
    targets = ids[1:].copy()
    targets[: prefix_length - 1] = IGNORED  # the last token of the prefix predicts the first one after it
    return PrefixLM(inputs=ids[:-1], targets=targets, prefix_length=prefix_length)


def invert_prefix_lm(example: PrefixLM) -> Ids:
    """The ids (time + 1,) that `prefix_lm` was given."""
    return np.concatenate((example.inputs, example.targets[-1:]))
