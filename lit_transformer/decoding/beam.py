"""Beam search over anything that gives the next token's logits, many sources at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_transformer.decoding.search import NOTHING, Hypothesis, Search
from lit_transformer.decoding.steps import DROPPED, Steps

BLOCK = 64
"""Tokens of the vocabulary whose maximum is looked at first."""


@dataclass(frozen=True, kw_only=True)
class _Candidates:
    """The likeliest continuations of each source's hypotheses, best first; each tensor is (sources, candidates)."""

    totals: Tensor
    """Log-probability of the whole text."""
    beams: Tensor
    """Which hypothesis of the source is continued."""
    tokens: Tensor
    """With what."""


@dataclass(frozen=True, kw_only=True)
class _Move:
    """How the rows (sources * hypotheses) of the next step come from those of the last."""

    tokens: Tensor
    """What each row reads next: (rows, 1)."""
    rows: Tensor | None
    """The old row that each continues; None: its own."""
    sources: Tensor | None
    """Places of the sources that stay; None: all."""


def beam_search(steps: Steps, prompt: Tensor, search: Search) -> list[list[Hypothesis]]:
    """The best hypotheses of each row of prompt (sources, time), best first: at most `n_best`, all different.

    Finds what transformers' `generate` does with `num_beams` and its default `early_stopping=False`. Of the
    2 x beam_size likeliest continuations, those among the first beam_size that end are finished, and the first
    beam_size that do not end go on. A source is done when beam_size are finished and its best open hypothesis, scored
    at its present length, beats none of them: with length_penalty > 0 a longer text of a better score can be missed.
    """
    beams = _Beams(prompt, search)
    tokens = prompt
    for length in range(1, search.max_length + 1):
        move = beams.advance(steps.step(tokens), length)
        if move is None:
            break
        tokens = move.tokens
        if move.rows is not None:
            steps.reorder(move.rows, move.sources)
    return beams.best()


def top(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`values.topk(count)` of each row of values (rows, n): what is largest, best first, and where; (rows, count) each.

    On a CPU much faster over a vocabulary: each of the largest lies in one of the `count` blocks with the largest
    maxima, or in what is left over behind the blocks.
    """
    blocks = values.shape[1] // BLOCK
    if values.device.type != "cpu" or blocks < 4 * count:
        return values.topk(count, dim=-1)
    end, where = blocks * BLOCK, torch.arange(values.shape[1])
    maxima = values[:, :end].unflatten(1, (blocks, BLOCK)).amax(dim=-1)  # (rows, blocks)
    best = maxima.topk(count, dim=-1, sorted=False).indices
    inside = where[:end].view(blocks, BLOCK)[best].flatten(1)  # (rows, count * BLOCK)
    places = torch.cat((inside, where[end:].expand(len(values), -1)), dim=1)  # (rows, candidates)
    found, order = values.gather(1, places).topk(count, dim=-1)
    return found, places.gather(1, order)


class _Beams:
    """The hypotheses of every source, open and finished."""

    def __init__(self, prompt: Tensor, search: Search) -> None:
        count, device = prompt.shape[0], prompt.device
        self.search = search
        self.finished: list[list[Hypothesis]] = [[] for _ in range(count)]
        self.sources = list(range(count))
        """Places in `finished` of the sources in the tensors below."""
        self.totals = torch.zeros(count, 1, device=device)  # (sources, hypotheses); one until the first token
        self.ids = prompt.new_empty(count, 0)  # (sources * hypotheses, length)
        self.bar = torch.full((count,), -torch.inf, device=device)  # (sources,)
        """Score that a text must beat: -inf while fewer than beam_size are finished, inf when the source is done."""

    def best(self) -> list[list[Hypothesis]]:
        """The answer."""
        return [texts[: self.search.n_best] or [NOTHING] for texts in self.finished]

    def advance(self, logits: Tensor, length: int) -> _Move | None:
        """Add the token number `length` from logits (rows, vocab_size); None when nothing is left to do."""
        candidates, last = self._candidates(logits, length), length == self.search.max_length
        ended = torch.full_like(candidates.tokens, last, dtype=torch.bool)  # (sources, candidates)
        if self.search.stop_token is not None:
            ended |= candidates.tokens == self.search.stop_token
        self._finish(candidates, ended, length)
        if last:
            return None
        return self._continue(candidates, ended, length)

    def _candidates(self, logits: Tensor, length: int) -> _Candidates:
        values = self.search.suppress(logits.float().log_softmax(dim=-1), length)  # (rows, vocab_size)
        wanted = 2 * self.search.beam_size  # at most half of them end, one for each hypothesis
        values, tokens = top(values, min(wanted, values.shape[1]))  # (rows, candidates of a hypothesis)
        each = values.shape[1]
        totals = (values.unflatten(0, self.totals.shape) + self.totals[..., None]).flatten(1)
        totals, places = totals.topk(min(wanted, totals.shape[1]), dim=-1)  # (sources, candidates)
        tokens = tokens.view(len(totals), -1).gather(1, places)
        return _Candidates(totals=totals, beams=places // each, tokens=tokens)

    def _finish(self, candidates: _Candidates, ended: Tensor, length: int) -> None:
        size = self.search.beam_size
        new = ended & (candidates.totals > -torch.inf) & (self.bar < torch.inf)[:, None]  # (sources, candidates)
        places = new[:, :size].nonzero()  # (texts, 2)
        if not len(places):
            return
        source, candidate = places.unbind(1)
        rows = source * self.totals.shape[1] + candidates.beams[source, candidate]
        ids = torch.cat((self.ids[rows], candidates.tokens[source, candidate][:, None]), dim=1)  # (texts, length)
        totals = candidates.totals[source, candidate]
        scores = totals / length**self.search.length_penalty
        texts = zip(source.tolist(), ids.tolist(), totals.tolist(), scores.tolist(), strict=True)
        bars = self.bar.tolist()
        for place, text, total, score in texts:
            best = self.finished[self.sources[place]]
            best.append(self.search.hypothesis(text, total, score))
            best.sort(key=lambda hypothesis: -hypothesis.score)
            del best[size:]
            bars[place] = best[-1].score if len(best) == size else -torch.inf
        self.bar = self.bar.new_tensor(bars)

    def _continue(self, candidates: _Candidates, ended: Tensor, length: int) -> _Move | None:
        width = self.totals.shape[1]
        going = candidates.totals.masked_fill(ended, -torch.inf)
        totals, order = going.topk(min(self.search.beam_size, going.shape[1]), dim=-1)  # (sources, hypotheses)
        best = totals[:, 0]
        going_on = (best > -torch.inf) & (best / length**self.search.length_penalty > self.bar)  # (sources,)
        kept = going_on.nonzero().flatten()
        if not len(kept):
            return None
        self.bar = self.bar.masked_fill(~going_on, torch.inf)
        first = torch.arange(len(totals), device=totals.device)[:, None] * width
        rows = first + candidates.beams.gather(1, order)  # (sources, hypotheses)
        tokens = candidates.tokens.gather(1, order)
        leave = (len(totals) - len(kept)) * DROPPED >= len(totals)
        if leave:
            totals, rows, tokens, self.bar = totals[kept], rows[kept], tokens[kept], self.bar[kept]
            self.sources = [self.sources[place] for place in kept.tolist()]
        rows, tokens = rows.flatten(), tokens.flatten()[:, None]  # (rows,), (rows, 1)
        old = len(self.ids)
        same = len(rows) == old and torch.equal(rows, torch.arange(old, device=rows.device))
        self.totals, self.ids = totals, torch.cat((self.ids[rows], tokens), dim=1)
        return _Move(tokens=tokens, rows=None if same else rows, sources=kept if leave else None)
