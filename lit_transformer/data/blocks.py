"""Blocks of a token stream: where they start, and the ids in them. Pure functions over numpy, no torch.

Blocks follow one another every `stride` tokens and share `overlap` tokens with the next one: one where the next token
is predicted, since a block's last token is only a target, none elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""Id of a place that holds no token; as a target, nothing to predict."""


def num_train_blocks(tokens: int, stride: int, overlap: int) -> int:
    """Blocks of an epoch, the same for every start offset."""
    return max(1, (tokens - overlap - stride + 1) // stride)


def train_starts(
    tokens: int, stride: int, overlap: int, *, seed: int, epoch: int, shuffle: bool = True
) -> NDArray[np.int64]:
    """First tokens of an epoch's blocks in their order: (blocks,), a pure function of seed and epoch.

    The blocks follow one another from an offset that differs by epoch, so that words meet the edges of a block by
    chance, and no token is a target twice; fewer than 2 x stride tokens at the ends are left out. Without `shuffle`
    every epoch is the same: in order, from the first token.
    """
    blocks = num_train_blocks(tokens, stride, overlap)
    starts = np.arange(blocks, dtype=np.int64) * stride
    if not shuffle:
        return starts
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed % (1 << 64), epoch])))
    slack = max(tokens - overlap - blocks * stride, 0)
    offset = int(generator.integers(slack + 1))  # every token can be in a block in some epoch
    order: NDArray[np.int64] = generator.permutation(starts)
    return order + offset


def eval_starts(tokens: int, stride: int, overlap: int) -> NDArray[np.int64]:
    """First tokens of blocks in order, (blocks,), in which every token (after the overlap) is new once."""
    return np.arange(0, max(tokens - overlap, 0), stride, dtype=np.int64)


def gather(ids: NDArray[np.unsignedinteger], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Ids of the blocks at `starts`, IGNORED past the end of the text and in rows of padding (negative starts)."""
    places = starts[:, None] + np.arange(length)  # (rows, length)
    if int(starts.min()) >= 0 and int(starts.max()) + length <= len(ids):
        inside: NDArray[np.int64] = ids[places].astype(np.int64)
        return inside
    outside = (places >= len(ids)) | (starts[:, None] < 0)  # (rows, length)
    rows: NDArray[np.int64] = ids[np.where(outside, 0, places)].astype(np.int64)
    rows[outside] = IGNORED
    return rows
