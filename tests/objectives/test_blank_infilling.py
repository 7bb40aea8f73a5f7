"""GLM's blank infilling: the paper's example to the token, and the ids come back."""

import numpy as np
import pytest
import torch

from lit_transformer.nn.masks import prefix_mask
from lit_transformer.objectives.blank_infilling import blank_infilling, blank_out, invert_blank_infilling
from lit_transformer.objectives.blanks import Blanks, blank_lengths

M, S, E = 101, 102, 103  # [MASK], start, end


def test_the_example_of_the_paper() -> None:
    """Du et al. 2022, figure 2: x1 ... x6, of which [x3] and [x5, x6] are taken and written in the order 2, 1."""
    ids = np.array([1, 2, 3, 4, 5, 6])
    example = blank_out(ids, Blanks(np.array([4, 2]), np.array([2, 1])), mask_id=M, start_id=S, end_id=E)
    #                                 x1 x2 [M] x4 [M] [S] x5 x6 [S] x3
    assert example.inputs.tolist() == [1, 2, M, 4, M, S, 5, 6, S, 3]
    assert example.positions.tolist() == [1, 2, 3, 4, 5, 5, 5, 5, 3, 3]
    assert example.block_positions.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 1, 2]
    assert example.targets.tolist() == [5, 6, E, 3, E]
    assert example.target_positions.tolist() == [5, 6, 7, 8, 9]
    assert example.prefix_length == 5
    mask = prefix_mask(torch.tensor([example.prefix_length]), len(example.inputs))
    assert mask[0, 0].int().tolist() == [
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ]
    assert np.array_equal(invert_blank_infilling(example), ids)


def test_blanks_that_touch() -> None:
    ids = np.array([1, 2, 3, 4])
    example = blank_out(ids, Blanks(np.array([1, 0, 3]), np.array([2, 1, 1])), mask_id=M, start_id=S, end_id=E)
    assert example.inputs.tolist() == [M, M, M, S, 2, 3, S, 1, S, 4]
    assert example.positions.tolist() == [1, 2, 3, 2, 2, 2, 1, 1, 3, 3]
    assert example.targets.tolist() == [2, 3, E, 1, E, 4, E]
    assert np.array_equal(invert_blank_infilling(example), ids)


@pytest.mark.parametrize("kind", ["spans", "sentences", "document", "mixed"])
@pytest.mark.parametrize(("rate", "mean_span"), [(0.15, 3.0), (0.0, 1.0), (0.9, 2.0), (0.5, 1.0)])
@pytest.mark.parametrize("length", [1, 2, 3, 10, 60])
def test_inverse_and_form(kind: str, length: int, rate: float, mean_span: float) -> None:
    for seed in range(30):
        generator = np.random.default_rng(seed)
        ids, ends = generator.integers(100, size=length), generator.random(length) < 0.3
        how = {"kind": kind, "mask_rate": rate, "mean_span": mean_span}
        example = blank_infilling(ids, generator, mask_id=M, start_id=S, end_id=E, sentence_ends=ends, **how)  # type: ignore[arg-type]
        assert np.array_equal(invert_blank_infilling(example), ids)
        inputs, targets, places, positions, block_positions, prefix = example
        assert len(inputs) == len(positions) == len(block_positions) == prefix + len(targets)
        assert places.tolist() == list(range(prefix, len(inputs)))
        most = blank_lengths(length, **how)  # type: ignore[arg-type]
        assert len(inputs) <= most[0] and len(targets) <= most[1]
        assert kind != "spans" or (len(inputs), len(targets)) == most
        assert positions[:prefix].tolist() == list(range(1, prefix + 1)) and not block_positions[:prefix].any()
        assert (inputs[:prefix] == M).sum() == (inputs[prefix:] == S).sum() == (targets == E).sum()
        assert (inputs[positions[prefix:] - 1] == M).all()  # every token of Part B has its mask's place
        assert (block_positions[prefix:] == 1).tolist() == (inputs[prefix:] == S).tolist()
        following = np.append(inputs[prefix + 1 :], S)
        assert (targets == np.where(following == S, E, following)).all()  # Part B is read one token later
