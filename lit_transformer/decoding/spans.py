"""The likeliest short texts, for blanks, in which every text that was begun may end at every step."""

from collections.abc import Sequence
from heapq import nlargest

import torch
from torch import Tensor

from lit_transformer.decoding.search import Hypothesis
from lit_transformer.decoding.steps import Steps


def likely_spans(
    steps: Steps, prompt: Tensor, *, stop_token: int, max_length: int, width: int, forbidden: Sequence[int] = ()
) -> list[Hypothesis]:
    """Texts of 1 to max_length tokens after prompt (1, time) that end with stop_token: at most `width`, best first.

    `beam_search` ends a text only where that is one of the likeliest continuations, and so loses short ones after
    which a network would rather go on. Here each of the `width` likeliest open texts ends at every step, and the search
    is over once no open text is likelier than the last of the best. forbidden are as in `Search`.
    """
    found: list[Hypothesis] = []
    totals, ids = torch.zeros(1, device=prompt.device), prompt.new_empty(1, 0)  # (texts,), (texts, length)
    tokens = prompt
    for length in range(max_length + 1):
        values = steps.step(tokens).float().log_softmax(dim=-1)  # (texts, vocab_size)
        if length:
            ended = (totals + values[:, stop_token]).tolist()
            texts = [_ended(*text) for text in zip(ids.tolist(), ended, strict=True)]
            found = nlargest(width, [*found, *texts], key=lambda text: text.log_probability)
        if length == max_length:
            break
        values[:, [*forbidden, stop_token]] = -torch.inf
        whole = (totals[:, None] + values).flatten()  # (texts * vocab_size,)
        totals, places = whole.topk(min(width, int(whole.isfinite().sum())))  # (texts,)
        if not len(totals) or (len(found) == width and totals[0] <= found[-1].log_probability):
            break
        rows, tokens = places // values.shape[1], places[:, None] % values.shape[1]  # (texts,), (texts, 1)
        ids = torch.cat((ids[rows], tokens), dim=1)
        steps.reorder(rows)
    return found


def _ended(ids: list[int], total: float) -> Hypothesis:
    return Hypothesis(ids=ids, log_probability=total, score=total, ended=True)
