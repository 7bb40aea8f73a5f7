"""Counts and lengths of spans: exact, never empty, and drawn from the law that is claimed."""

from itertools import product
from math import factorial, prod

import numpy as np
import pytest

from lit_transformer.objectives.spans import num_masked, num_spans, poisson_lengths, random_segmentation
from tests.objectives.chance import fits


def divisions(items: int, parts: int) -> list[tuple[int, ...]]:
    return [lengths for lengths in product(range(1, items + 1), repeat=parts) if sum(lengths) == items]


def test_counts() -> None:
    assert [num_masked(length, 0.15) for length in (0, 1, 2, 3, 10, 20, 100, 126)] == [0, 1, 1, 1, 2, 3, 15, 19]
    assert [num_masked(length, 0.99) for length in (1, 2, 100)] == [1, 2, 99]
    assert [num_spans(masked, 3.0) for masked in (1, 2, 4, 5, 19, 77)] == [1, 1, 1, 2, 6, 26]
    assert [num_spans(masked, 1.0) for masked in (1, 5)] == [1, 5]


@pytest.mark.parametrize(("items", "parts"), [(1, 1), (5, 5), (6, 3), (7, 2)])
def test_every_segmentation_is_as_likely(items: int, parts: int) -> None:
    possible = divisions(items, parts)
    generator = np.random.default_rng(0)
    counts = dict.fromkeys(possible, 0)
    for _ in range(200 * len(possible)):
        counts[tuple(random_segmentation(items, parts, generator).tolist())] += 1
    assert len(possible) == 1 or fits(list(counts.values()))


@pytest.mark.parametrize(("tokens", "spans"), [(1, 1), (4, 4), (5, 2), (6, 3), (7, 4)])
def test_lengths_are_poisson_given_their_sum(tokens: int, spans: int) -> None:
    """The product of Poisson probabilities is, with the sum given, in proportion to 1 / (l1! l2! ...)."""
    possible = divisions(tokens, spans)
    law = [1 / prod(map(factorial, lengths)) for lengths in possible]
    generator = np.random.default_rng(1)
    counts = dict.fromkeys(possible, 0)
    for _ in range(20000 if len(possible) > 1 else 10):
        counts[tuple(poisson_lengths(tokens, spans, generator).tolist())] += 1
    assert len(possible) == 1 or fits(list(counts.values()), law)


def test_long_rows_keep_their_sum_and_look_poisson() -> None:
    generator = np.random.default_rng(2)
    lengths = np.array([poisson_lengths(300, 100, generator) for _ in range(100)])
    assert (lengths.sum(axis=1) == 300).all() and lengths.min() == 1
    # Poisson without zero has mean 3 at rate 2.8214, and then variance 3 (1 + 2.8214 - 3) = 2.464
    assert abs(lengths.var() - 2.464) < 0.1
    assert poisson_lengths(500, 499, generator).sum() == 500
