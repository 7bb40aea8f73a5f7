"""What blank infilling takes away of a text (Du et al. 2022, sections 2.1 and 2.2)."""

from typing import Literal, NamedTuple, TypedDict

import numpy as np

from lit_transformer.objectives.ids import Flags, Ids
from lit_transformer.objectives.spans import num_masked, num_spans, poisson_lengths

BlankKind = Literal["spans", "sentences", "document", "mixed"]

_MIXED: tuple[BlankKind, ...] = ("spans", "sentences", "document")


class BlankSettings(TypedDict):
    """What is to be taken away."""

    kind: BlankKind
    mask_rate: float
    """Share of the tokens that spans and sentences take."""
    mean_span: float


class Blanks(NamedTuple):
    """What is taken away of a text, in the order in which it is to be written."""

    starts: Ids
    """(blanks,): the first token of each; they do not overlap."""
    lengths: Ids
    """(blanks,), 1 or more."""


def choose_blanks(
    length: int,
    generator: np.random.Generator,
    *,
    kind: BlankKind,
    mask_rate: float,
    mean_span: float,
    sentence_ends: Flags | None = None,
) -> Blanks:
    """What is taken of a text of `length` tokens, one or more; `sentence_ends` (length,) says which of them end one.

    mixed is one of the other kinds by chance, each as likely. Sentences are spans where no whole one fits.
    """
    if kind == "mixed":
        kind = _MIXED[int(generator.integers(len(_MIXED)))]
    if kind == "document":
        return document_blank(length, generator)
    if kind == "sentences" and sentence_ends is not None:
        found = sentence_blanks(sentence_ends, generator, mask_rate=mask_rate, mean_span=mean_span)
        if len(found.starts):
            return found
    return span_blanks(length, generator, mask_rate=mask_rate, mean_span=mean_span)


def span_blanks(length: int, generator: np.random.Generator, *, mask_rate: float, mean_span: float) -> Blanks:
    """Short spans: the exact share of the tokens, in as many spans as give the mean length.

    The paper draws Poisson lengths until enough is taken; with both counts fixed, all rows have one shape. Every
    placing is as likely, with a token between two spans where there is room, as in the authors' code.
    """
    masked = num_masked(length, mask_rate)
    spans = num_spans(masked, mean_span)
    lengths = poisson_lengths(masked, spans, generator)
    kept = length - masked
    gap = int(kept >= spans - 1)
    room = kept + spans - gap * (spans - 1)
    places = np.sort(generator.permutation(room)[:spans]) + gap * np.arange(spans)  # of the masks in Part A
    starts = places + lengths.cumsum() - lengths - np.arange(spans)
    order = generator.permutation(spans)
    return Blanks(starts[order], lengths[order])


def sentence_blanks(ends: Flags, generator: np.random.Generator, *, mask_rate: float, mean_span: float) -> Blanks:
    """Whole sentences, no more tokens and no more blanks than short spans would be; none where none fits.

    What stands before the first end and after the last one is no whole sentence.
    """
    budget = num_masked(len(ends), mask_rate)
    most = num_spans(budget, mean_span)
    edges = np.flatnonzero(ends) + 1
    starts, lengths = edges[:-1], np.diff(edges)
    taken: list[int] = []
    for sentence in generator.permutation(len(starts)).tolist():
        if lengths[sentence] <= budget and len(taken) < most:
            taken.append(sentence)
            budget -= int(lengths[sentence])
    return Blanks(starts[taken], lengths[taken])


def document_blank(length: int, generator: np.random.Generator) -> Blanks:
    """The end of the text: half of it to all of it, every length as likely."""
    taken = int(generator.integers((length + 1) // 2, length + 1))
    return Blanks(np.array([length - taken]), np.array([taken]))


def blank_lengths(length: int, *, kind: BlankKind, mask_rate: float, mean_span: float) -> tuple[int, int]:
    """Inputs and targets that a text of `length` tokens becomes at the most; of spans always as many."""
    masked = num_masked(length, mask_rate)
    spans = num_spans(masked, mean_span)
    if kind == "document":
        return length + 2, length + 1
    return length + 2 * spans, max(masked + spans, length + 1 if kind == "mixed" else 0)


def raw_length(context_length: int, *, kind: BlankKind, mask_rate: float, mean_span: float) -> int:
    """Tokens of the longest text whose inputs fit into `context_length`; 0 where none does."""
    length = 0
    while blank_lengths(length + 1, kind=kind, mask_rate=mask_rate, mean_span=mean_span)[0] <= context_length:
        length += 1
    return length
