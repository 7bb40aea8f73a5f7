"""FLOPs of what really runs, by torch's counter, and bytes that it holds, by torch's allocator."""

from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

import lit_transformer.nn.losses  # noqa: F401  # registers its operator

Result = TypeVar("Result")


def _linear(x: tuple[int, ...], weight: tuple[int, ...], *_: object, **__: object) -> int:
    return 2 * x[0] * x[1] * weight[0]


def _loss(hidden: tuple[int, ...], weight: tuple[int, ...], *rest: Any, out_shape: object = None, **__: object) -> int:
    """Logits, and with gradients those of hidden states and weights: one product, or three."""
    return (3 if rest[-1] else 1) * 2 * hidden[0] * hidden[1] * weight[0]


def _added(into: Any, left: tuple[int, ...], right: tuple[int, ...], *_: object, **__: object) -> int:
    """A product, or one for each of a batch, that is added to what is there."""
    return 2 * prod(left) * right[-1]


def _attention(query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


UNKNOWN_TO_TORCH = {
    torch.ops.mkldnn._linear_pointwise: _linear,
    torch.ops.lit_transformer.linear_cross_entropy: _loss,
    torch.ops.aten.addmm_: _added,
    torch.ops.aten.baddbmm_: _added,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Operators that the counter has no formula for. Attention counts all pairs, causal or not, as the counter's own do."""


def count_flops(act: Callable[[], Result]) -> tuple[Result, int]:
    """What an act gives, and the FLOPs of its matrix products and convolutions."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter cannot look into torch's fused encoder layer
    try:
        with FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_TORCH) as counter:
            result = act()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return result, counter.get_total_flops()


def peak_bytes(make: Callable[[], Callable[[], object]], calls: int = 2) -> int:
    """Most bytes of tensors at once while `make` builds and `calls` calls of what it gives run.

    Counted from what the allocator reports, so the same on every machine and in every run: resident memory would also
    hold what was imported, what malloc keeps, and pages that were never touched. Scratch memory inside oneDNN and MKL,
    which does not come from torch's allocator, is not in it.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        act = make()
        for _ in range(calls):
            act()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr]  # set once it has run
    changes = [event for event in events if event.name() == "[memory]"]
    most = held = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):  # stable: what has the same time is in order
        held += change.nbytes()
        most = max(most, held)
    return most
