"""How each kind of network fills the blanks of a text: the likeliest tokens for each, and how likely they are."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import nlargest

import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.blanks import BlankSteps
from lit_transformer.decoding.spans import likely_spans
from lit_transformer.decoding.steps import SourceSteps, Steps
from lit_transformer.inference.text_run import TextRun
from lit_transformer.models.glm import GLM
from lit_transformer.models.seq2seq import Seq2Seq

LONGEST = 16
"""Tokens of a blank at most, for the networks that write several."""

Pieces = list[list[int]]
"""Ids of the text before each blank, and of what follows the last one."""


@dataclass(frozen=True)
class Way:
    """Tokens for the first few blanks."""

    spans: tuple[tuple[int, ...], ...] = ()
    log_probability: float = 0.0

    def with_next(self, span: list[int], log_probability: float) -> "Way":
        """The same, and tokens for one more blank."""
        return Way((*self.spans, tuple(span)), self.log_probability + log_probability)


def _check_length(run: TextRun, needed: int) -> None:
    if needed > run.context_length:
        raise UserError(
            f"the text is longer than the context\n  got      {needed} tokens, special ones included\n"
            f"  allowed  {run.context_length} (model.context_length)\n  fix      leave out what is far from the blanks"
        )


def _no_text(run: TextRun) -> list[int]:
    """Ids that fill no blank: special tokens, and rows beyond the vocabulary."""
    return [*run.specials.ids, *range(run.tokenizer.get_vocab_size(), len(run.network.output_weight))]


def _by_bert(run: TextRun, pieces: Pieces, width: int) -> list[Way]:
    """Each blank is one token, independent of the others."""
    cls, sep, mask = run.specials.required("cls", "sep", "mask", by="fill")
    ids, places = [cls, *pieces[0]], []
    for piece in pieces[1:]:
        places.append(len(ids))
        ids += [mask, *piece]
    ids.append(sep)
    _check_length(run, len(ids))
    values = run.network(run.tensor([ids]))[0, places].float().log_softmax(dim=-1)  # (blanks, vocab_size)
    values[:, _no_text(run)] = -torch.inf
    best = [blank.topk(min(width, blank.isfinite().sum().item())) for blank in values]
    choices = [list(zip(blank.indices.tolist(), blank.values.tolist(), strict=True)) for blank in best]

    def write(way: Way) -> list[Way]:
        return [way.with_next([token], value) for token, value in choices[len(way.spans)]]

    return _in_turn(len(places), width, write)


def _by_t5(run: TextRun, pieces: Pieces, width: int) -> list[Way]:
    """A sentinel for each blank; the decoder is given each in turn, and writes what stands behind it."""
    network, sentinels, blanks = run.network, run.specials.sentinels, len(pieces) - 1
    assert isinstance(network, Seq2Seq)
    pad, end = run.specials.required("pad", "end", by="fill")
    if len(sentinels) < blanks:
        raise UserError(
            f"the tokenizer has too few sentinels\n  got      {blanks} blanks\n"
            f"  allowed  {len(sentinels)}: <extra_id_0> and so on\n  fix      fill fewer blanks at once"
        )
    ids = list(pieces[0])
    for sentinel, piece in zip(sentinels, pieces[1:], strict=False):
        ids += [sentinel, *piece]
    ids.append(end)
    _check_length(run, max(len(ids), 1 + 2 * blanks))  # the decoder reads <pad>, and a sentinel and a token of each

    def write(way: Way) -> list[Way]:
        blank = len(way.spans)
        written = [pad]
        for sentinel, span in zip(sentinels, way.spans, strict=False):
            written += [sentinel, *span]
        written.append(sentinels[blank])
        steps = SourceSteps(network, run.tensor([ids]))
        stop = end if blank == blanks - 1 else sentinels[blank + 1]
        room = run.context_length - len(written) - 2 * (blanks - 1 - blank)
        return _written(run, way, steps, run.tensor([written]), stop=stop, room=room, width=width)

    return _in_turn(blanks, width, write)


def _by_glm(run: TextRun, pieces: Pieces, width: int) -> list[Way]:
    """A blank's span stands behind the text and the spans of the blanks before it."""
    network = run.network
    assert isinstance(network, GLM)
    mask, start, end = run.specials.required("mask", "sop", "eop", by="fill")
    text, places = list(pieces[0]), []
    for piece in pieces[1:]:
        places.append(len(text) + 1)  # counted from 1
        text += [mask, *piece]
    _check_length(run, len(text) + 2 * len(places))

    def write(way: Way) -> list[Way]:
        inputs, positions, inner = list(text), list(range(1, len(text) + 1)), [0] * len(text)
        for place, span in zip(places, way.spans, strict=False):
            inputs += [start, *span]
            positions += [place] * (len(span) + 1)
            inner += range(1, len(span) + 2)
        rows = (run.tensor([row]) for row in (inputs, positions, inner))  # (1, time) each
        given = dict(zip(("inputs", "positions", "block_positions"), rows, strict=True))
        given["prefix_length"] = torch.tensor([len(text)], device=run.device)
        blank = len(way.spans)
        steps = BlankSteps(network, given, torch.tensor([places[blank]], device=run.device))
        room = run.context_length - len(inputs) - 1 - 2 * (len(places) - 1 - blank)
        return _written(run, way, steps, run.tensor([[start]]), stop=end, room=room, width=width)

    return _in_turn(len(places), width, write)


def _written(run: TextRun, way: Way, steps: Steps, prompt: Tensor, *, stop: int, room: int, width: int) -> list[Way]:
    """The way with each of the likeliest spans of the next blank, in `room` tokens; the later ones have theirs."""
    found = likely_spans(
        steps, prompt, stop_token=stop, max_length=min(LONGEST, room), width=width, forbidden=_no_text(run)
    )
    return [way.with_next(text.ids, text.log_probability) for text in found]


def _in_turn(blanks: int, width: int, write: Callable[[Way], list[Way]]) -> list[Way]:
    """One blank after another, from left to right, the likeliest ways so far each in as many ways again."""
    ways = [Way()]
    for _ in range(blanks):
        grown = [longer for way in ways for longer in write(way)]
        ways = nlargest(width, grown, key=lambda way: way.log_probability)
    return ways


FILLERS: dict[str, Callable[[TextRun, Pieces, int], list[Way]]] = {
    "bert": _by_bert,
    "t5": _by_t5,
    "glm": _by_glm,
}
"""`model.kind` -> how it fills blanks."""
