"""How many tokens and spans an objective takes, and how long the spans are."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lit_transformer.objectives.ids import Ids


def num_masked(length: int, rate: float) -> int:
    """Tokens taken of `length`: the rate's share, at least one where there is one."""
    return min(max(1, round(rate * length)), length)


def num_spans(masked: int, mean_span: float) -> int:
    """Spans that `masked` tokens make: as many as give the mean length, at least one, none of them empty."""
    return min(max(1, round(masked / mean_span)), masked)


def random_segmentation(items: int, segments: int, generator: np.random.Generator) -> Ids:
    """Lengths of `segments` parts of at least one item that `items` fall into, every division as likely: (segments,).

    As T5's code does it (Raffel et al. 2020, `random_spans_noise_mask`).
    """
    cuts = np.sort(generator.permutation(items - 1)[: segments - 1]) + 1
    return np.diff(cuts, prepend=0, append=items)


def poisson_lengths(tokens: int, spans: int, generator: np.random.Generator) -> Ids:
    """Lengths of `spans` spans of at least one token, Poisson given that they sum to `tokens`: (spans,).

    Poisson numbers given their sum are multinomial, whatever their mean: every token falls into any of the spans. That
    no span is empty makes it one of the equally likely ways to put distinct tokens into spans so that each gets one.
    Token by token from the last: it is alone in its span, or joins one of the spans that the tokens before it fill.
    """
    alone, draws = _chance_alone(tokens, spans), generator.random((tokens, 2)).tolist()
    lengths, left = [1] * spans, spans
    for before in range(tokens - 1, -1, -1):
        is_alone, which = draws[before]
        if is_alone < alone.item(before, left):
            left -= 1
        else:
            lengths[int(which * left)] += 1
    return generator.permutation(np.array(lengths, dtype=np.int64))


@lru_cache(maxsize=16)
def _chance_alone(tokens: int, spans: int) -> NDArray[np.float64]:
    """The chance that a token after `before` others is alone in one of `spans` spans: (before, spans).

    Ratios of Stirling numbers of the second kind, S(n, k) = k S(n - 1, k) + S(n - 1, k - 1).
    """
    count = np.arange(1, spans + 1)
    ways: NDArray[np.float64] = np.full((tokens + 1, spans + 1), -np.inf)  # logarithms of Stirling numbers
    ways[0, 0] = 0
    chance = np.zeros((tokens, spans + 1))
    for before in range(tokens):
        joins, alone = np.log(count) + ways[before, 1:], ways[before, :-1]
        ways[before + 1, 1:] = np.logaddexp(joins, alone)
        possible = np.isfinite(ways[before + 1, 1:])
        chance[before, 1:][possible] = np.exp(alone[possible] - ways[before + 1, 1:][possible])
    return chance
