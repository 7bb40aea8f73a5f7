"""The grid of a sweep, in W&B's order."""

import itertools
from collections.abc import Iterator, Mapping, Sequence


def grid(
    axes: Mapping[str, Sequence[object]], places: Mapping[str, tuple[str, ...]] | None = None
) -> Iterator[dict[str, object]]:
    """Every combination of the axes' values: names sorted, the last one varying fastest, values in the order given.

    `places` says how the names are nested, where they are: W&B sorts each level by itself. No axis at all is one empty
    combination.
    """
    names = sorted(axes, key=lambda name: (places or {}).get(name, (name,)))
    for values in itertools.product(*(axes[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def int_uniform(low: int, high: int) -> list[int]:
    """The integers from `low` to `high`, both included, as W&B's grid takes them."""
    return list(range(low, high + 1))


def q_uniform(low: float, high: float, step: float) -> list[float]:
    """`low`, `low + step`, ... below `high`, which is left out, as W&B's grid (numpy.arange) does.

    Integers stay integers; the count and the last bits are numpy's, so that the same values come out as there.
    """
    count = _ceil_division(high - low, step)
    stride = (low + step) - low  # what numpy adds: the difference of its first two values
    return [low + index * stride for index in range(count)]


def _ceil_division(length: float, step: float) -> int:
    quotient = length / step
    whole = int(quotient)
    return max(0, whole + (quotient > whole))
