"""Budgets in layers of settings: what a budget solves is not given beside it. Torch-free.

`budget.parameters` and `budget.flops_per_token` decide the network's widths, `budget.total_flops` the run's length.
What lower layers say of these (an experiment's file, under a sweep's budget) gives way; what stands beside the budget
or above it contradicts it, and is refused. A frozen config.yaml holds both: the one was solved for the other.
"""

import math
from collections.abc import Mapping, Sequence

from lit_transformer.config.errors import Problem
from lit_transformer.config.fields import fields_of
from lit_transformer.config.layers import Layer
from lit_transformer.config.models import MODEL_CONFIGS, SegmenterConfig, TransformerConfig

SIZES = ("budget.parameters", "budget.flops_per_token")
TOTAL = "budget.total_flops"
BUDGETS = (*SIZES, TOTAL)
TRANSFORMER = ("model.d_model", "model.d_ff")
SEGMENTER = ("model.base_channels",)
LENGTH = ("trainer.max_steps", "trainer.max_epochs")
SOLVED: dict[str, tuple[str, ...]] = {**dict.fromkeys(SIZES, (*TRANSFORMER, *SEGMENTER)), TOTAL: LENGTH}
"""Budget -> the settings that are solved for it."""


def with_budgets(layers: Sequence[Layer]) -> tuple[list[Layer], dict[str, str], list[Problem]]:
    """The layers without what budgets decide, the settings to be solved with their origins, and contradictions."""
    given = list(layers)
    opened: dict[str, str] = {}
    problems = []
    for budget, settings in SOLVED.items():
        at = [index for index, layer in enumerate(given) if budget in layer.values]
        if not at or given[at[-1]].values[budget] is None or is_frozen(given[at[-1]]):
            continue
        origin = given[at[-1]].origins.get(budget, "unknown")
        for key in settings:
            for index, layer in enumerate(given):
                if key not in layer.values:
                    continue
                if index < at[-1] or layer.values[key] is None:
                    given[index] = _without(layer, key)
                else:
                    problems.append(_contradiction(key, layer, budget, origin))
        opened |= dict.fromkeys(settings, f"solved for {budget} ({origin}) when data are prepared")
    return given, opened, problems


def placeholders(kind: str, opened: Mapping[str, str], values: Mapping[str, object]) -> dict[str, object]:
    """Settings to be solved -> values that break no rule until they are."""
    if not opened or kind not in MODEL_CONFIGS:
        return {}
    owner = MODEL_CONFIGS[kind]
    found: dict[str, object] = {}
    if TRANSFORMER[0] in opened and issubclass(owner, TransformerConfig):
        heads = values.get("model.num_heads", owner.num_heads)
        heads = heads if isinstance(heads, int) and heads > 0 else 1  # what is wrong with it is said elsewhere
        found = {"model.d_model": math.lcm(2 * heads, 8), "model.d_ff": None}
    if SEGMENTER[0] in opened and issubclass(owner, SegmenterConfig):
        found = {"model.base_channels": owner.base_channels}
    return found | ({"trainer.max_steps": 1, "trainer.max_epochs": None} if LENGTH[0] in opened else {})


def is_frozen(layer: Layer) -> bool:
    """Whether a layer is a whole configuration, in which nothing is left to be solved."""
    kind = layer.values.get("model.kind")
    if not isinstance(kind, str) or kind not in MODEL_CONFIGS:
        return False
    return {key for key in fields_of(kind) if key.startswith("model.")} <= layer.values.keys()


def _without(layer: Layer, key: str) -> Layer:
    return Layer({name: value for name, value in layer.values.items() if name != key}, layer.origins)


def _contradiction(key: str, layer: Layer, budget: str, origin: str) -> Problem:
    what = "the run's length" if budget == TOTAL else "the network's width"
    return Problem(
        key=key,
        origin=layer.origins.get(key, "unknown"),
        got=f"{layer.values[key]} beside {budget} ({origin})",
        allowed=f"one of them: {budget} decides {what}",
        fix=f"leave {key} out, or set {budget}=null",
    )
