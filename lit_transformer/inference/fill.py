"""`fill`: what belongs in the blanks of a text, by a BERT, a T5 or a GLM."""

import math
from dataclasses import dataclass
from heapq import nlargest

import torch

from lit_transformer.config.errors import UserError
from lit_transformer.inference.fillers import FILLERS, Way
from lit_transformer.inference.text_run import TextRun

BLANK = "[MASK]"
"""Stands for a blank in the texts that people write, whatever the tokenizer calls its own."""


@dataclass(frozen=True)
class Filling:
    """One way to fill the blanks."""

    text: str
    """The whole text."""
    fills: tuple[str, ...]
    """What stands in each blank."""
    probability: float
    """Of all of them together; those of different ways sum to at most 1."""


@torch.inference_mode()
def fill(run: TextRun, text: str, *, top: int) -> list[Filling]:
    """The `top` likeliest ways to fill the blanks of a text; ways that read the same are one.

    A BERT puts one token into each blank, a T5 and a GLM one to LONGEST, of which a blank's end is a part of the
    probability. Raises UserError for a text without a blank or longer than the context.
    """
    if run.config.task != "language_model" or run.config.model.kind not in FILLERS:
        raise run.refuse("fill", "a run of the task language_model with model.kind bert, t5 or glm")
    parts = text.split(BLANK)
    if len(parts) < 2:
        raise UserError(
            f"the text has no blank\n  got      {text}\n  allowed  {BLANK} wherever something is missing\n"
            f'  fix      fill RUN "The animal {BLANK} the street"'
        )
    if top < 1:
        raise UserError(f"--top\n  got      {top}\n  allowed  1 or more")
    pieces = [run.encode(run.spaces.before_blank(part)) for part in parts[:-1]] + [run.encode(parts[-1])]
    found: dict[str, Filling] = {}
    for way in FILLERS[run.config.model.kind](run, pieces, max(2 * top, 8)):
        filling = _filling(run, parts, way)
        same = found.get(filling.text)
        probability = filling.probability + (same.probability if same else 0.0)
        found[filling.text] = Filling(filling.text, filling.fills, probability)
    return nlargest(top, found.values(), key=lambda filling: filling.probability)


def _filling(run: TextRun, parts: list[str], way: Way) -> Filling:
    whole = ""
    for part, span in zip(parts, way.spans, strict=False):
        whole = run.spaces.filled(whole + part, span)
    fills = tuple(run.spaces.alone(span) for span in way.spans)
    return Filling(whole + parts[-1], fills, math.exp(way.log_probability))
