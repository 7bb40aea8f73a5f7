"""Blocks of a token stream: where they start, and the ids in them. Pure functions over numpy, no torch.

A block is context_length + 1 tokens: the first ones are the input, the last ones the targets, so neighbouring blocks
share one token.
"""

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""Id of a place that holds no token; as a target, nothing to predict."""


def num_train_blocks(tokens: int, context_length: int) -> int:
    """Blocks of an epoch, the same for every start offset."""
    return max(1, (tokens - context_length) // context_length)


def train_starts(tokens: int, context_length: int, *, seed: int, epoch: int, shuffle: bool = True) -> NDArray[np.int64]:
    """First tokens of an epoch's blocks in their order: (blocks,), a pure function of seed and epoch.

    The blocks follow one another from an offset that differs by epoch, so that words meet the edges of a block by
    chance, and no token is a target twice; fewer than 2 x context_length tokens at the ends are left out. Without
    `shuffle` every epoch is the same: in order, from the first token.
    """
    blocks = num_train_blocks(tokens, context_length)
    starts = np.arange(blocks, dtype=np.int64) * context_length
    if not shuffle:
        return starts
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed % (1 << 64), epoch])))
    slack = tokens - 1 - blocks * context_length
    offset = int(generator.integers(slack + 1))  # every token can be in a block in some epoch
    order: NDArray[np.int64] = generator.permutation(starts)
    return order + offset


def eval_starts(tokens: int, context_length: int) -> NDArray[np.int64]:
    """First tokens of blocks in order, (blocks,), in which every token after the first is a target once."""
    return np.arange(0, max(tokens - 1, 0), context_length, dtype=np.int64)


def num_targets(starts: NDArray[np.int64], tokens: int, context_length: int) -> NDArray[np.int64]:
    """Targets in the block at each start, same shape; a negative start is a row of padding."""
    return np.where(starts < 0, 0, np.clip(tokens - 1 - starts, 0, context_length))


def gather(ids: NDArray[np.unsignedinteger], starts: NDArray[np.int64], context_length: int) -> NDArray[np.int64]:
    """Ids of the blocks at `starts`, IGNORED past the end of the text and in rows of padding (negative starts)."""
    places = starts[:, None] + np.arange(context_length + 1)  # (rows, time + 1)
    if int(starts.min()) >= 0 and int(starts.max()) + context_length < len(ids):
        inside: NDArray[np.int64] = ids[places].astype(np.int64)
        return inside
    outside = (places >= len(ids)) | (starts[:, None] < 0)  # (rows, time + 1)
    rows: NDArray[np.int64] = ids[np.where(outside, 0, places)].astype(np.int64)
    rows[outside] = IGNORED
    return rows
