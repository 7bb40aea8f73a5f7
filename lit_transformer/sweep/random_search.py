"""Random sweeps: point i is a function of the sweep's name, the seed and i, whatever was drawn before it."""

import hashlib
import json
from collections.abc import Sequence

from lit_transformer.sweep.parameters import Parameter

_STEPS = 2**52
"""So many shares of [0, 1] have an exact float in their middle."""


def draw(sweep: str, seed: int, number: int, parameters: Sequence[Parameter]) -> dict[str, object]:
    """Point `number` of a sweep: swept key -> value. A parameter more or less changes no other one's values."""
    drawn = [item for item in parameters if item.swept]
    return {item.key: item.distribution.ppf(share(sweep, seed, number, item.key)) for item in drawn}


def share(sweep: str, seed: int, number: int, key: str) -> float:
    """A number between 0 and 1, neither of them, from a hash of what it is for: the same on every machine."""
    digest = hashlib.sha256(json.dumps([sweep, seed, number, key]).encode()).digest()
    return (int.from_bytes(digest[:8], "big") % _STEPS + 0.5) / _STEPS
