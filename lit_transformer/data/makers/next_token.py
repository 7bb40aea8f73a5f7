"""Blocks of objectives that predict the next token."""

from collections.abc import Callable

import numpy as np

from lit_transformer.data.makers.base import Batch, BlockMaker, Generators, filled, filled_rows, lengths_of, tensors
from lit_transformer.objectives.causal_lm import CausalLM
from lit_transformer.objectives.ids import IGNORED, Ids
from lit_transformer.objectives.prefix_lm import prefix_lm


class NextTokens(BlockMaker):
    """context_length + 1 tokens, of which the last is only a target; `objective` is given whole batches."""

    overlap = 1

    def __init__(self, objective: Callable[[Ids], CausalLM], context_length: int) -> None:
        self.block_length = context_length + 1
        self._objective = objective

    def batch(self, ids: Ids, generators: Generators) -> Batch:
        inputs, targets = self._objective(ids)
        return tensors(inputs=np.maximum(inputs, 0), targets=targets)  # padding becomes token 0, its targets ignored

    def count(self, ids: Ids, generators: Generators) -> int:
        return int((self._objective(ids).targets != IGNORED).sum())


class Prefixes(BlockMaker):
    """context_length + 1 tokens, of which a part is seen whole; a block of a single token predicts nothing."""

    overlap = 1

    def __init__(self, context_length: int) -> None:
        self.block_length = context_length + 1

    def batch(self, ids: Ids, generators: Generators) -> Batch:
        inputs, targets = np.maximum(ids[:, :-1], 0), filled(len(ids), self.block_length - 1, IGNORED)
        prefix_length = np.zeros(len(ids), dtype=np.int64)
        for index, row, generator in filled_rows(ids, generators):
            if len(row) > 1:
                example = prefix_lm(row, generator)
                targets[index, : len(example.targets)] = example.targets
                prefix_length[index] = example.prefix_length
        return tensors(inputs=inputs, targets=targets, prefix_length=prefix_length)

    def count(self, ids: Ids, generators: Generators) -> int:
        lengths = lengths_of(ids)
        taken = [
            prefix_lm(row, generator).prefix_length
            for _, row, generator in filled_rows(ids, generators)
            if len(row) > 1
        ]
        return int(lengths[lengths > 1].sum()) - sum(taken)
