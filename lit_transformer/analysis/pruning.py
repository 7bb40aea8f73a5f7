"""What is left of a network without its least important heads, and without as many at random."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lit_transformer.analysis.subject import Head, Subject

SHARES = 10
"""A curve has a point for each tenth of the heads, as in the paper (section 4.1)."""
RANDOM_ORDERS = 5


@dataclass(frozen=True)
class Curve:
    """Metrics of a network from which more and more heads are taken."""

    by: str
    """gradient, removal or random."""
    order: list[Head]
    """In which they go."""
    removed: list[int]
    """How many are gone at each point."""
    metrics: list[dict[str, float]]
    """The metrics there, by full name."""


def steps(heads: int) -> list[int]:
    """How many heads are gone at the points of a curve, from none to all."""
    return sorted({round(part * heads / SHARES) for part in range(SHARES + 1)})


def pruning_curve(subject: Subject, by: str, order: Sequence[Head], removed: Sequence[int]) -> Curve:
    """The metrics with the first heads of `order` gone, as many as `removed` says, all at once and never trained on."""
    return Curve(by, list(order), list(removed), [subject.metrics(order[:count]) for count in removed])


def least_first(scores: Mapping[Head, float]) -> list[Head]:
    """Heads by their score, the least important first; of equals, later ones."""
    return sorted(scores, key=lambda head: (scores[head], [-part for part in head[1:]]))


def random_orders(heads: Sequence[Head]) -> list[list[Head]]:
    """RANDOM_ORDERS orders, which depend on the number of heads alone."""
    return [random.Random(f"heads {number}").sample(heads, len(heads)) for number in range(RANDOM_ORDERS)]


def pruning_curves(subject: Subject, scores: Mapping[str, Mapping[Head, float]]) -> list[Curve]:
    """A curve in the order of each of the scores, and those in random orders."""
    counts = steps(len(subject.heads))
    curves = [pruning_curve(subject, by, least_first(found), counts) for by, found in scores.items()]
    return curves + [pruning_curve(subject, "random", order, counts) for order in random_orders(subject.heads)]
