"""Pairs of segments: half follow, half come from elsewhere, and the segments come back."""

import numpy as np
import pytest

from lit_transformer.objectives.ids import IGNORED
from lit_transformer.objectives.next_sentence import invert_sentence_pair, sentence_pair
from tests.objectives.chance import fits

STREAM = np.arange(1000, 3000, dtype=np.uint16)


@pytest.mark.parametrize("length", [2, 3, 30])
def test_segments(length: int) -> None:
    ids, follows, cuts = np.arange(100, 100 + length), [], []
    generator = np.random.default_rng(length)
    for _ in range(600):
        pair = sentence_pair(ids, generator, stream=STREAM, cls_id=1, sep_id=2)
        first, second = invert_sentence_pair(pair)
        assert pair.inputs.tolist() == [1, *first, 2, *second, 2]
        assert pair.token_types.tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
        assert len(first) and len(first) + len(second) == length
        assert first.tolist() == ids[: len(first)].tolist()
        if pair.next_sentence:
            assert second.tolist() == ids[len(first) :].tolist()
        else:
            assert second.tolist() == list(range(second[0], second[0] + len(second))) and second[0] >= 1000
        follows.append(pair.next_sentence)
        cuts.append(len(first))
    assert fits(np.bincount(follows, minlength=2))
    assert length == 2 or fits(np.bincount(cuts, minlength=length)[1:])


def test_a_single_token_has_no_second_segment() -> None:
    pair = sentence_pair(np.array([7]), np.random.default_rng(0), stream=STREAM, cls_id=1, sep_id=2)
    assert pair.inputs.tolist() == [1, 7, 2, 2] and pair.next_sentence == IGNORED
    assert [part.tolist() for part in invert_sentence_pair(pair)] == [[7], []]
