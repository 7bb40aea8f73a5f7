"""Masked language modelling: guess tokens that are hidden or replaced (Devlin et al. 2019, section 3.1)."""

from typing import NamedTuple

import numpy as np

from lit_transformer.objectives.ids import Flags, Ids
from lit_transformer.objectives.spans import num_masked


class MaskedLM(NamedTuple):
    """One row."""

    inputs: Ids
    """(time,)"""
    targets: Ids
    """(masked,), the tokens that were taken."""
    target_positions: Ids
    """(masked,), their places in time, ascending."""


def masked_lm(
    ids: Ids,
    generator: np.random.Generator,
    *,
    mask_id: int,
    special: Flags,
    mask_rate: float,
    mask_share: float,
    random_share: float,
    word_starts: Flags | None = None,
) -> MaskedLM:
    """Ids (time,) -> a row with `mask_rate` of its tokens taken.

    special and word_starts (vocab_size,) tell of each id whether it stands for no text, so that it is neither taken
    nor put in, and whether it begins a word: with word_starts all tokens of a word are taken or none. Of the tokens
    taken, each by its own chance, `mask_share` become mask_id, `random_share` another token, and the rest stay.
    """
    places = masked_places(ids, generator, special=special, mask_rate=mask_rate, word_starts=word_starts)
    fate = generator.random(len(places))
    inputs = ids.copy()
    inputs[places[fate < mask_share]] = mask_id
    replaced = places[(fate >= mask_share) & (fate < mask_share + random_share)]
    ordinary = np.flatnonzero(~special)
    inputs[replaced] = ordinary[generator.integers(len(ordinary), size=len(replaced))]
    return MaskedLM(inputs=inputs, targets=ids[places], target_positions=places)


def invert_masked_lm(example: MaskedLM) -> Ids:
    """The ids (time,) that `masked_lm` was given."""
    ids = example.inputs.copy()
    ids[example.target_positions] = example.targets
    return ids


def masked_places(
    ids: Ids, generator: np.random.Generator, *, special: Flags, mask_rate: float, word_starts: Flags | None = None
) -> Ids:
    """Places of the tokens taken, ascending: `num_masked` of those that are not special.

    With whole words that number is the most: words are taken in random order, and one that no longer fits is skipped.
    """
    free = np.flatnonzero(~special[ids])
    budget = num_masked(len(free), mask_rate)
    if word_starts is None or not budget:
        return np.sort(free[generator.permutation(len(free))[:budget]])
    first = word_starts[ids[free]] | (np.diff(free, prepend=-2) > 1)  # a special token ends a word, too
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=len(free)).tolist()
    taken = np.zeros(len(starts), dtype=np.bool_)
    for word in generator.permutation(len(starts)).tolist():
        if lengths[word] <= budget:
            taken[word] = True
            budget -= lengths[word]
        if not budget:
            break
    return free[np.repeat(taken, lengths)]
