"""Many rows of different lengths, worked on in batches of about equal ones, and given back in their order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from lit_transformer.decoding.guards import require

Row = TypeVar("Row")
Answer = TypeVar("Answer")


def length_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Places of rows in batches whose padded size, rows x longest, is at most max_tokens; a longer row stands alone.

    The longest come first, so that too little memory shows at once; equal ones keep their order.
    """
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    batches: list[list[int]] = []
    for place in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= max_tokens:
            batches[-1].append(place)
        else:
            batches.append([place])
    return batches


def in_batches(
    rows: Sequence[Row],
    work: Callable[[list[Row]], Sequence[Answer]],
    *,
    lengths: Sequence[int],
    max_tokens: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Answer]:
    """`work` on batches of rows, and its answers in the order of rows.

    lengths are those of rows; max_tokens is as in `length_batches`. progress is told the rows done and all rows, after
    each batch. Raises UserError for max_tokens below 1, and ValueError where work does not answer each row.
    """
    require([(max_tokens >= 1, "max_tokens", max_tokens, "1 or more", "a row longer than it is worked on alone")])
    answers: dict[int, Answer] = {}
    for batch in length_batches(lengths, max_tokens):
        answers.update(zip(batch, work([rows[place] for place in batch]), strict=True))
        if progress is not None:
            progress(len(answers), len(rows))
    return [answers[place] for place in range(len(rows))]


def pad(rows: Sequence[Sequence[int]], pad_token: int) -> tuple[Tensor, Tensor]:
    """Rows of ids -> ids (rows, time) filled up on the right, and which are tokens: a boolean mask (rows, time)."""
    time = max(map(len, rows), default=0)
    ids = torch.tensor([[*row, *[pad_token] * (time - len(row))] for row in rows], dtype=torch.int64)
    mask = torch.arange(time) < torch.tensor([len(row) for row in rows], dtype=torch.int64)[:, None]
    return ids.view(len(rows), time), mask
