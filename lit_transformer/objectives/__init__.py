"""Pure functions from token ids to what a network sees and what it must predict."""

from collections.abc import Callable

from torch import Tensor

from lit_transformer.objectives.causal_lm import CausalLMBatch, causal_lm

LM_OBJECTIVES: dict[str, Callable[[Tensor], CausalLMBatch]] = {"causal_lm": causal_lm}
"""`objective.name` -> ids (batch, time + 1) to inputs and targets, for tasks that predict tokens of plain text."""
