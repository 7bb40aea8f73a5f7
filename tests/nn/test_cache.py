"""The cache: what is put in comes out, past its first room and in another order of rows."""

import pytest
import torch
from torch import Tensor

from lit_transformer.nn.cache import FIRST_ROOM, DecoderCache, KVCache, LayerCache


def tokens(time: int, rows: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, 2, time, 3), torch.randn(rows, 2, time, 3)  # (rows, heads, time, head_dim)


@pytest.mark.parametrize("steps", [[1] * (3 * FIRST_ROOM), [FIRST_ROOM + 5, 1, 70, 1], [3, 2 * FIRST_ROOM]])
def test_it_grows_and_is_reordered(steps: list[int]) -> None:
    torch.manual_seed(0)
    cache = LayerCache(150)
    expected = tokens(0)
    for number, time in enumerate(steps):
        new = tokens(time, rows=len(expected[0]))
        held = cache.append(*new)
        expected = tuple(torch.cat(pair, dim=2) for pair in zip(expected, new, strict=True))  # type: ignore[assignment]
        for have, want in zip(held, expected, strict=True):
            assert torch.equal(have, want)
        if number % 3 != 2:
            rows = torch.randint(len(expected[0]), (len(expected[0]) + (number in (1, 4)) - (number == 7),))
            cache.reorder(rows)
            expected = expected[0][rows], expected[1][rows]
            for have, want in zip(cache.contents(), expected, strict=True):
                assert torch.equal(have, want)
    assert cache.length == sum(steps)


def test_a_reset_cache_starts_anew() -> None:
    cache = KVCache(2, 10)
    for layer in cache.layers:
        layer.append(*tokens(10))
    cache.reset()
    new = tokens(4)
    assert cache.length == 0 and torch.equal(cache.layers[0].append(*new)[0], new[0])


def test_too_many_tokens_are_refused() -> None:
    cache = LayerCache(5)
    cache.append(*tokens(4))
    with pytest.raises(ValueError, match="holds 5 tokens, and 6 were put in"):
        cache.append(*tokens(2))


@pytest.mark.parametrize("same_sources", [True, False])
def test_sources_are_reordered_only_where_they_change(same_sources: bool) -> None:
    cache = DecoderCache(1, 10)
    own, source = tokens(3), tokens(7)
    cache.self_attention.layers[0].append(*own)
    cache.cross_attention.layers[0].append(*source)
    rows = torch.tensor([3, 3, 0, 1])
    cache.reorder(rows, same_sources=same_sources)
    assert cache.length == 3 and torch.equal(cache.self_attention.layers[0].contents()[1], own[1][rows])
    held = cache.cross_attention.layers[0].contents()[0]
    assert torch.equal(held, source[0] if same_sources else source[0][rows])
