"""How each kind of network fills the blanks of a text: the likeliest tokens for each, and how likely they are."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import nlargest

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.blanks import decode_blanks
from lit_transformer.decoding.draw import find_texts
from lit_transformer.decoding.guards import evaluating
from lit_transformer.decoding.search import Hypothesis, Search
from lit_transformer.decoding.steps import SourceSteps
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


def _no_text(run: TextRun, *, but: int | None = None) -> list[int]:
    """Ids that fill no blank: special tokens, save one that ends it, and rows beyond the vocabulary."""
    beyond = range(run.tokenizer.get_vocab_size(), len(run.network.output_weight))
    return [index for index in (*run.specials.ids, *beyond) if index != but]


@torch.inference_mode()
def _by_bert(run: TextRun, pieces: Pieces, width: int) -> list[Way]:
    """Each blank is one token, independent of the others."""
    cls, sep, mask = run.specials.required("cls", "sep", "mask", by="fill")
    ids, places = [cls, *pieces[0]], []
    for piece in pieces[1:]:
        places.append(len(ids))
        ids += [mask, *piece]
    ids.append(sep)
    _check_length(run, len(ids))
    values = run.network(torch.tensor([ids]))[0, places].float().log_softmax(dim=-1)  # (blanks, vocab_size)
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
        stop = end if blank == blanks - 1 else sentinels[blank + 1]
        room = network.config.context_length - len(written) + 1  # the last token is never read
        if room < 2:
            return []
        with evaluating(network):
            steps = SourceSteps(network, torch.tensor([ids]))
            found = find_texts(steps, torch.tensor([written]), _search(run, stop, room, width))[0]
        return _grown(way, found)

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
        room = network.config.context_length - len(inputs)
        if room < 2:
            return []
        search = _search(run, end, room, width)
        found = decode_blanks(
            network, torch.tensor([inputs]), torch.tensor([places[len(way.spans)]]),
            start_token=start, stop_token=end, prefix_length=torch.tensor([len(text)]),
            positions=torch.tensor([positions]), block_positions=torch.tensor([inner]), max_length=search.max_length,
            min_length=search.min_length, beam_size=width, n_best=width, length_penalty=search.length_penalty,
            forbidden=search.forbidden,
        )[0]  # fmt: skip
        return _grown(way, found)

    return _in_turn(len(places), width, write)


def _search(run: TextRun, stop: int, room: int, width: int) -> Search:
    """The likeliest spans of one token or more, of which the beam finds what it meets."""
    return Search(
        stop_token=stop, max_length=min(LONGEST + 1, room), min_length=1, beam_size=width, n_best=width,
        length_penalty=0.0, forbidden=_no_text(run, but=stop),
    )  # fmt: skip


def _grown(way: Way, found: list[Hypothesis]) -> list[Way]:
    return [way.with_next(text.ids, text.log_probability) for text in found if text.ended]


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
