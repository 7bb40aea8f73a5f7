"""Pure functions from token ids to what a network sees and what it must predict, one row at a time, and back."""

from collections.abc import Callable

from lit_transformer.objectives.causal_lm import CausalLM, causal_lm
from lit_transformer.objectives.ids import Ids

LM_OBJECTIVES: dict[str, Callable[[Ids], CausalLM]] = {"causal_lm": causal_lm}
"""`objective.name` -> ids (..., time + 1) to inputs and targets (..., time), where nothing is drawn."""
