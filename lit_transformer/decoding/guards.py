"""What every way of decoding shares: no gradients, no dropout, and settings in range."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from lit_transformer.config.errors import UserError

Rule = tuple[bool, str, object, str, str]
"""Whether it is kept, the setting, what was given, what is allowed, and what to do."""


@contextmanager
def evaluating(network: object) -> Iterator[None]:
    """No gradients and no dropout inside; afterwards each module is in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()] if isinstance(network, nn.Module) else []
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def require(rules: Sequence[Rule]) -> None:
    """Raises UserError with every broken rule, one a line."""
    broken = [f"{name}: got {got}; allowed: {allowed}; {fix}" for ok, name, got, allowed, fix in rules if not ok]
    if broken:
        raise UserError("\n".join(broken))


def sampling_rules(temperature: float, top_k: int | None, top_p: float | None) -> list[Rule]:
    """What the settings of `choose_tokens` must keep."""
    return [
        (temperature >= 0, "temperature", temperature, "0 or more", "0 takes the most likely token"),
        (top_k is None or top_k >= 1, "top_k", top_k, "1 or more", "leave it out to keep every token"),
        (top_p is None or 0 < top_p <= 1, "top_p", top_p, "above 0, at most 1", "leave it out to keep every token"),
    ]
