"""T5's relative positions against transformers' and by hand."""

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5Attention

from lit_transformer.nn.relative_positions import RelativePositionBias, buckets


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (32, 20), (8, 16), (4, 3), (17, 64), (64, 1000)])
def test_buckets_are_those_of_transformers_at_every_distance(
    bidirectional: bool, num_buckets: int, max_distance: int
) -> None:
    distances = torch.arange(-3000, 3001)
    ours = buckets(distances, num_buckets=num_buckets, max_distance=max_distance, bidirectional=bidirectional)
    theirs = T5Attention._relative_position_bucket(distances, bidirectional, num_buckets, max_distance)
    assert torch.equal(ours, theirs)


def test_buckets_by_hand() -> None:
    distances = torch.tensor([-300, -128, -9, -8, -7, -1, 0, 1, 7, 8, 12, 128, 300])
    both = buckets(distances, num_buckets=32, max_distance=128, bidirectional=True)
    assert both.tolist() == [15, 15, 8, 8, 7, 1, 0, 17, 23, 24, 25, 31, 31]
    back = buckets(distances, num_buckets=32, max_distance=128, bidirectional=False)
    assert back.tolist() == [31, 31, 9, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0]


def test_the_bias_depends_on_the_distance_alone() -> None:
    layer = RelativePositionBias(num_heads=3)
    bias = layer(9, 9)
    assert bias.shape == (1, 3, 9, 9)
    torch.testing.assert_close(bias[..., 1:, 1:], bias[..., :-1, :-1], rtol=0, atol=0)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_last_query_stands_at_the_last_key(bidirectional: bool) -> None:
    layer = RelativePositionBias(num_heads=3, bidirectional=bidirectional)
    whole = layer(40, 40)
    for queries in (1, 2, 17):
        assert torch.equal(layer(queries, 40), whole[:, :, -queries:])


def test_stays_exact_in_half_precision_networks() -> None:
    layer = RelativePositionBias(num_heads=2)
    with torch.no_grad():
        layer.embedding.weight.copy_(torch.arange(64).view(32, 2))
    expected = layer(600, 600)
    assert torch.equal(layer.to(torch.bfloat16)(600, 600).float(), expected)


def test_too_few_distances_are_refused() -> None:
    with pytest.raises(ValueError, match="with 32 buckets max_distance must be over 8, not 8"):
        RelativePositionBias(num_heads=2, max_distance=8)
    with pytest.raises(ValueError, match="over 16"):
        RelativePositionBias(num_heads=2, max_distance=8, bidirectional=False)
