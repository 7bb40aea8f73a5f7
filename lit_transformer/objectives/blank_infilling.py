"""Autoregressive blank infilling: write the blanks of a text one after another (Du et al. 2022, section 2.1).

Part A is the text with a [MASK] for each blank, and sees itself whole. Part B is the blanks in random order, each
behind a start token; it sees Part A and what comes before in Part B. Two rows of positions say where a token stands,
both counted from 1 as in the paper's figure 2: in Part A, where a token of Part B has the place of its [MASK]; and in
its blank, 0 in Part A.
"""

from typing import NamedTuple

import numpy as np

from lit_transformer.objectives.blanks import BlankKind, Blanks, choose_blanks
from lit_transformer.objectives.ids import Flags, Ids


class BlankInfilling(NamedTuple):
    """One row."""

    inputs: Ids
    """(time,): Part A, then Part B."""
    targets: Ids
    """(targets,): what Part B must write, an end token after each blank."""
    target_positions: Ids
    """(targets,): the places of Part B."""
    positions: Ids
    """(time,)"""
    block_positions: Ids
    """(time,)"""
    prefix_length: int
    """Length of Part A."""


def blank_infilling(
    ids: Ids,
    generator: np.random.Generator,
    *,
    mask_id: int,
    start_id: int,
    end_id: int,
    kind: BlankKind,
    mask_rate: float,
    mean_span: float,
    sentence_ends: Flags | None = None,
) -> BlankInfilling:
    """Ids (time,), one or more -> a row with blanks; `sentence_ends` (time,) says which tokens end a sentence."""
    blanks = choose_blanks(
        len(ids), generator, kind=kind, mask_rate=mask_rate, mean_span=mean_span, sentence_ends=sentence_ends
    )
    return blank_out(ids, blanks, mask_id=mask_id, start_id=start_id, end_id=end_id)


def blank_out(ids: Ids, blanks: Blanks, *, mask_id: int, start_id: int, end_id: int) -> BlankInfilling:
    """Ids (time,) and what is taken of them -> a row."""
    starts, lengths = blanks
    first = np.zeros(len(ids), dtype=np.bool_)
    first[starts] = True
    depth = np.zeros(len(ids) + 1, dtype=np.int64)
    depth[starts] += 1
    depth[starts + lengths] -= 1  # no two blanks end together
    kept = (depth[:-1].cumsum() == 0) | first
    part_a = np.where(first, mask_id, ids)[kept]
    places = kept.cumsum()  # of each token in Part A, from 1

    sizes = lengths + 1
    blank = np.repeat(np.arange(len(starts)), sizes)  # (targets,): of each place of Part B
    inner = np.arange(len(blank)) - np.repeat(sizes.cumsum() - sizes, sizes)  # (targets,), from 0
    source = starts[blank] + inner
    part_b = np.where(inner == 0, start_id, ids[source - 1])
    targets = np.where(inner == lengths[blank], end_id, ids[np.minimum(source, len(ids) - 1)])
    return BlankInfilling(
        inputs=np.concatenate((part_a, part_b)),
        targets=targets,
        target_positions=np.arange(len(part_a), len(part_a) + len(part_b)),
        positions=np.concatenate((np.arange(1, len(part_a) + 1), places[starts][blank])),
        block_positions=np.concatenate((np.zeros(len(part_a), dtype=np.int64), inner + 1)),
        prefix_length=len(part_a),
    )


def invert_blank_infilling(example: BlankInfilling) -> Ids:
    """The ids (time,) that `blank_infilling` was given."""
    length = example.prefix_length
    part_a, place = example.inputs[:length], example.positions[length:]
    begins = np.flatnonzero(example.block_positions[length:] == 1)
    blanks = np.split(example.targets, begins)[1:]
    text = {int(place[begin]): blank[:-1] for begin, blank in zip(begins, blanks, strict=True)}
    return np.concatenate([text.get(index + 1, part_a[index : index + 1]) for index in range(length)])
