"""`fill`: what belongs in the blanks of a text, by a BERT, a T5 or a GLM."""

import math
from dataclasses import dataclass
from heapq import nlargest
from itertools import product

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.decoding.blanks import decode_blanks
from lit_transformer.decoding.search import Hypothesis
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.inference.text_run import TextRun
from lit_transformer.models.glm import GLM
from lit_transformer.models.seq2seq import Seq2Seq

BLANK = "[MASK]"
"""Stands for a blank in the texts that people write, whatever the tokenizer calls its own."""

LONGEST = 16
"""Tokens of a blank at most, for the networks that write several."""


@dataclass(frozen=True)
class Filling:
    """One way to fill the blanks."""

    text: str
    """The whole text."""
    fills: tuple[str, ...]
    """What stands in each blank."""
    probability: float
    """Of all of them together; a BERT's blanks are independent."""


def fill(run: TextRun, text: str, *, top: int = 5) -> list[Filling]:
    """The `top` likeliest ways to fill the blanks of a text; raises UserError where it has none or is too long."""
    parts = text.split(BLANK)
    if len(parts) < 2:
        raise UserError(
            f"the text has no blank\n  got      {text}\n  allowed  {BLANK} wherever something is missing\n"
            f'  fix      fill RUN "The animal {BLANK} the street"'
        )
    if top < 1:
        raise UserError(f"--top\n  got      {top}\n  allowed  1 or more")
    if run.config.task != "language_model" or run.config.model.kind not in FILLERS:
        raise run.refuse("fill", "a language_model of the kinds bert, t5 and glm", "train one: fit bert_tiny")
    pieces = _pieces(run, parts)
    found = FILLERS[run.config.model.kind](run, pieces, top)
    return [Filling(_join(parts, fills), fills, probability) for fills, probability in found]


Found = list[tuple[tuple[str, ...], float]]


def _pieces(run: TextRun, parts: list[str]) -> list[list[int]]:
    """Ids of the text between the blanks; a token of BPE brings the space before it, so a blank takes that too."""
    return [run.encode(part if index == len(parts) - 1 else part.rstrip(" ")) for index, part in enumerate(parts)]


def _join(parts: list[str], fills: tuple[str, ...]) -> str:
    whole = parts[0]
    for fill_, part in zip(fills, parts[1:], strict=True):
        whole += fill_ + part
    return whole


def _check_length(run: TextRun, needed: int) -> None:
    if needed > run.context_length:
        raise UserError(
            f"the text is longer than the context\n  got      {needed} tokens\n"
            f"  allowed  {run.context_length} (model.context_length)\n  fix      leave out what is far from the blanks"
        )


@torch.inference_mode()
def _by_bert(run: TextRun, pieces: list[list[int]], top: int) -> Found:
    """Each blank is one token; the best combinations of the best tokens of each."""
    cls, sep, mask = run.specials.required("cls", "sep", "mask", by="fill")
    ids = [cls, *pieces[0]]
    places = []
    for piece in pieces[1:]:
        places.append(len(ids))
        ids += [mask, *piece]
    ids.append(sep)
    _check_length(run, len(ids))
    logits = run.network(torch.tensor([ids]))[0, places]  # (blanks, vocab_size)
    logits[:, list(run.specials.ids)] = -torch.inf
    probabilities, tokens = logits.float().softmax(dim=-1).topk(min(top, logits.shape[-1]), dim=-1)  # (blanks, top)
    single = [list(zip(*pair, strict=True)) for pair in zip(tokens.tolist(), probabilities.tolist(), strict=True)]
    combinations = nlargest(top, product(*single), key=lambda chosen: math.prod(p for _, p in chosen))
    return [
        (tuple(run.decode([token]).strip().removeprefix("##") for token, _ in chosen), math.prod(p for _, p in chosen))
        for chosen in combinations
    ]


def _by_t5(run: TextRun, pieces: list[list[int]], top: int) -> Found:
    """A sentinel for each blank, and what the decoder writes behind each."""
    assert isinstance(run.network, Seq2Seq)
    pad, end = run.specials.required("pad", "end", by="fill")
    sentinels = run.specials.sentinels
    if len(sentinels) < len(pieces) - 1:
        raise UserError(
            f"the tokenizer has too few sentinels\n  got      {len(pieces) - 1} blanks\n"
            f"  allowed  {len(sentinels)}: <extra_id_0> and so on\n  fix      fill fewer blanks at once"
        )
    ids = list(pieces[0])
    for sentinel, piece in zip(sentinels, pieces[1:], strict=False):
        ids += [sentinel, *piece]
    ids.append(end)
    _check_length(run, len(ids))
    room = min(run.context_length, (len(pieces) - 1) * (LONGEST + 1) + 1)
    found = decode_sources(
        run.network,
        torch.tensor([ids]), start_token=pad, stop_token=end, max_length=room, beam_size=max(2 * top, 4),
        n_best=max(2 * top, 4), length_penalty=0.0, forbidden=(pad,),
    )[0]  # fmt: skip
    whole = [(_spans(run, text.ids, len(pieces) - 1), math.exp(text.log_probability)) for text in found]
    return [(fills, probability) for fills, probability in whole if fills is not None][:top]


def _spans(run: TextRun, ids: list[int], blanks: int) -> tuple[str, ...] | None:
    """What stands behind each sentinel; None where a sentinel is missing or out of order."""
    spans: list[list[int]] = []
    for token in ids:
        if token in run.specials.sentinels:
            if token != run.specials.sentinels[len(spans)]:
                return None
            spans.append([])
        elif not spans:
            return None
        else:
            spans[-1].append(token)
    return tuple(run.decode(span).strip() for span in spans) if len(spans) == blanks else None


def _by_glm(run: TextRun, pieces: list[list[int]], top: int) -> Found:
    """One blank after another, from left to right, the best ways so far each in as many ways again."""
    assert isinstance(run.network, GLM)
    mask, start, end = run.specials.required("mask", "sop", "eop", by="fill")
    text, places = list(pieces[0]), []
    for piece in pieces[1:]:
        places.append(len(text) + 1)
        text += [mask, *piece]
    _check_length(run, len(text) + 2 * len(places))
    ways: list[tuple[list[list[int]], float]] = [([], 0.0)]
    for place in places:
        grown = []
        for spans, total in ways:
            for found in _one_blank(run.network, text, places, spans, place, (start, end), top):
                if found.ended:
                    grown.append(([*spans, found.ids], total + found.log_probability))
        ways = nlargest(top, grown, key=lambda way: way[1])
    return [(tuple(run.decode(span).strip() for span in spans), math.exp(total)) for spans, total in ways]


def _one_blank(
    network: GLM,
    text: list[int],
    places: list[int],
    spans: list[list[int]],
    place: int,
    ends: tuple[int, int],
    top: int,
) -> list[Hypothesis]:
    """The likeliest spans of the blank at `place`, after the spans of those before it."""
    start, end = ends
    inputs, positions = list(text), list(range(1, len(text) + 1))
    block_positions = [0] * len(text)
    for written, span in zip(places, spans, strict=False):
        inputs += [start, *span]
        positions += [written] * (len(span) + 1)
        block_positions += range(1, len(span) + 2)
    rows = [torch.tensor([row]) for row in (inputs, positions, block_positions)]  # (1, time) each
    room = min(LONGEST, network.config.context_length - len(inputs))
    if room < 1:
        return []
    return decode_blanks(
        network, rows[0], torch.tensor([place]), start_token=start, stop_token=end, positions=rows[1],
        block_positions=rows[2], prefix_length=torch.tensor([len(text)]), max_length=room, length_penalty=0.0,
        beam_size=max(2 * top, 4), n_best=max(2 * top, 4),
    )[0]  # fmt: skip


FILLERS = {"bert": _by_bert, "t5": _by_t5, "glm": _by_glm}
"""`model.kind` -> how it fills blanks."""
