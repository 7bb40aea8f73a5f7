"""What every maker of batches shares."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.data.specials import Specials
from lit_transformer.objectives.ids import IGNORED, Flags, Ids

Batch = dict[str, Tensor]
Generators = Sequence[np.random.Generator]


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a maker knows of the tokenizer."""

    specials: Specials
    size: int
    word_starts: Callable[[], Flags]
    """Gives (size,): does an id begin a word?"""
    sentence_ends: Callable[[], Flags]
    """Gives (size,): does an id end a sentence?"""


class BlockMaker(ABC):
    """Makes batches of blocks, row by row: the same block and generator give the same row in any batch.

    Blocks are ids (rows, block_length), -100 past the end of a short one and in rows that hold nothing. All batches
    have one shape. A generator is read from its start in each call, so a call needs fresh ones.
    """

    block_length: int
    """Tokens of the stream that a row takes."""
    overlap: int = 0
    """Tokens that a block shares with the next one: 1 where its last one is only a target."""

    @property
    def stride(self) -> int:
        """Tokens from one block to the next."""
        return self.block_length - self.overlap

    @abstractmethod
    def batch(self, ids: Ids, generators: Generators) -> Batch:
        """What the network's loss takes by name, one generator for each row."""

    @abstractmethod
    def count(self, ids: Ids, generators: Generators) -> int:
        """Targets that `batch` makes of these rows."""

    def reading(self, stream: NDArray[np.integer]) -> "BlockMaker":
        """This maker for blocks of a stream of ids (tokens,), which some objectives draw other text from."""
        return self


def filled_rows(ids: Ids, generators: Generators) -> Iterator[tuple[int, Ids, np.random.Generator]]:
    """Number, ids without padding, and generator of each row that holds something."""
    for index, length in enumerate(lengths_of(ids).tolist()):
        if length:
            yield index, ids[index, :length], generators[index]


def lengths_of(ids: Ids) -> Ids:
    """Tokens in each row: (rows,)."""
    lengths: Ids = (ids != IGNORED).sum(axis=1)
    return lengths


def filled(rows: int, width: int, value: int = 0) -> Ids:
    """An array (rows, width) of one value."""
    return np.full((rows, width), value, dtype=np.int64)


def tensors(**arrays: NDArray[np.generic]) -> Batch:
    """Arrays as tensors of their own memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def context_too_short(objective: str, context_length: int, needed: int, why: str) -> UserError:
    """The error of a context in which the objective has no place for a single example."""
    return UserError(
        f"model.context_length: got {context_length}, too short for objective.name={objective}\n"
        f"  allowed  {needed} or more: {why}\n"
        f"  fix      set model.context_length={needed} or more"
    )
