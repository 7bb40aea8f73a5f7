"""Next-sentence prediction: does the second segment follow the first (Devlin et al. 2019, section 3.1)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_transformer.objectives.ids import IGNORED, Ids


class SentencePair(NamedTuple):
    """One row: [CLS] first [SEP] second [SEP]."""

    inputs: Ids
    """(time,)"""
    token_types: Ids
    """(time,), 0 up to the first [SEP], 1 after it."""
    next_sentence: int
    """1 = the second segment follows the first, 0 = it does not, -100 = there is no second one."""


def sentence_pair(
    ids: Ids, generator: np.random.Generator, *, stream: NDArray[np.integer], cls_id: int, sep_id: int
) -> SentencePair:
    """Ids (time,) cut in two, every cut as likely; half the time the second part is one of `stream` instead.

    The other part is as long, from anywhere in the stream (tokens,), which holds at least as many tokens as ids does.
    """
    if len(ids) < 2:
        first, second, follows = ids, ids[:0], IGNORED
    else:
        cut, follows = int(generator.integers(1, len(ids))), int(generator.integers(2))
        first, second = ids[:cut], ids[cut:]
        if not follows:
            start = int(generator.integers(len(stream) - len(second) + 1))
            second = stream[start : start + len(second)].astype(np.int64)
    inputs = np.concatenate(([cls_id], first, [sep_id], second, [sep_id]))
    token_types = np.repeat(np.array([0, 1]), [len(first) + 2, len(second) + 1])
    return SentencePair(inputs, token_types, follows)


def invert_sentence_pair(pair: SentencePair) -> tuple[Ids, Ids]:
    """The two segments; where the second follows, they are the ids that `sentence_pair` was given."""
    first = int((pair.token_types == 0).sum())
    return pair.inputs[1 : first - 1], pair.inputs[first:-1]
