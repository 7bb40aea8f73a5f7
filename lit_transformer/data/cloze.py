"""The cloze probe: the same single tokens to be guessed, whatever the objective.

The validation stream alone decides which tokens are asked for and which window of text goes with each, so experiments
over the same text and the same tokens are scored on the same questions. What a network may see differs by its nature:
a GPT what stands before the token, BERT, GLM and T5 the window around it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TextModelConfig
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.makers.base import Batch, filled, tensors
from lit_transformer.data.randomness import row_generator
from lit_transformer.data.special_names import SENTINELS
from lit_transformer.data.specials import Specials, missing_specials
from lit_transformer.objectives.ids import IGNORED, Ids

MOST = 512
"""Questions at most."""


class Questions(NamedTuple):
    """Single tokens to be guessed."""

    windows: Ids
    """(rows, time): text, the tokens in question included."""
    places: Ids
    """(rows,): where in time the token in question stands."""

    @property
    def answers(self) -> Ids:
        """The tokens, (rows,)."""
        answers: Ids = self.windows[np.arange(len(self.places)), self.places]
        return answers


def cloze_batches(
    config: ExperimentConfig, specials: Specials, stream: NDArray[np.integer], *, batch_size: int = 64
) -> list[Batch]:
    """Batches, as the network's loss takes them, in which every row has one target; stream (tokens,) is validation's.

    Raises UserError where the tokenizer lacks what the objective needs, and where the text is too short for a question.
    """
    assert isinstance(config.model, TextModelConfig) and config.objective.name is not None
    asked = questions(stream, specials, config.model.context_length // 2)
    ask = ASK[config.objective.name]
    return [
        ask(Questions(asked.windows[start : start + batch_size], asked.places[start : start + batch_size]), specials)
        for start in range(0, len(asked.places), batch_size)
    ]


def questions(stream: NDArray[np.integer], specials: Specials, window: int) -> Questions:
    """Evenly spaced windows of a stream, (tokens,), and in the second half of each a token that stands for text.

    A window in which that half holds only special tokens asks nothing. Raises UserError where there is no question.
    """
    window = min(window, len(stream))
    number = min(MOST, len(stream) // max(window, 1))
    starts = np.arange(number) * (len(stream) - window) // max(number - 1, 1)
    windows = stream[starts[:, None] + np.arange(window)].astype(np.int64)  # (rows, time)
    half = max(window // 2, 1)  # a place before it, so that a GPT has something to go by
    free = ~np.isin(windows[:, half:], specials.ids)  # (rows, time - half)
    chosen = [
        (row, half + int(row_generator(0, 0, row).choice(np.flatnonzero(places))))
        for row, places in enumerate(free)
        if places.any()
    ]
    if not chosen:
        raise UserError(
            f"objective.cloze: the validation text is too short for a question: {len(stream)} tokens\n"
            "  fix      raise data.val_fraction or model.context_length, or set objective.cloze=false"
        )
    rows, found = np.array(chosen, dtype=np.int64).T
    return Questions(windows[rows], found)


def _ask_next_token(asked: Questions, specials: Specials) -> Batch:
    windows, places = asked
    inputs, targets = np.zeros_like(windows), np.full_like(windows, IGNORED)
    before = np.arange(windows.shape[1]) < places[:, None]  # (rows, time)
    inputs[before] = windows[before]
    targets[np.arange(len(places)), places - 1] = asked.answers
    return tensors(inputs=inputs, targets=targets)


def _ask_after_prefix(asked: Questions, specials: Specials) -> Batch:
    return _ask_next_token(asked, specials) | tensors(prefix_length=asked.places)


def _ask_mask(asked: Questions, specials: Specials) -> Batch:
    cls, sep, mask = specials.required("cls", "sep", "mask", by="objective.cloze with masked_lm")
    rows = len(asked.places)
    text = _hidden(asked, mask)
    inputs = np.concatenate((filled(rows, 1, cls), text, filled(rows, 1, sep)), axis=1)  # (rows, 1 + time + 1)
    return tensors(inputs=inputs, targets=asked.answers[:, None], target_positions=asked.places[:, None] + 1)


def _ask_sentinel(asked: Questions, specials: Specials) -> Batch:
    pad, end = specials.required("pad", "end", by="objective.cloze with span_corruption")
    if not specials.sentinels:
        raise missing_specials([SENTINELS[0]], "objective.cloze with span_corruption")
    rows, sentinel = len(asked.places), specials.sentinels[0]
    inputs = np.concatenate((_hidden(asked, sentinel), filled(rows, 1, end)), axis=1)  # (rows, time + 1)
    decoder_inputs = np.concatenate((filled(rows, 1, pad), filled(rows, 1, sentinel)), axis=1)  # (rows, 2)
    targets = np.stack((np.full(rows, IGNORED), asked.answers), axis=1)  # (rows, 2)
    return tensors(inputs=inputs, decoder_inputs=decoder_inputs, targets=targets)


def _ask_blank(asked: Questions, specials: Specials) -> Batch:
    mask, start = specials.required("mask", "sop", by="objective.cloze with blank_infilling")
    rows, time = asked.windows.shape
    inputs = np.concatenate((_hidden(asked, mask), filled(rows, 1, start)), axis=1)  # (rows, time + 1)
    text = np.broadcast_to(np.arange(1, time + 1), (rows, time))
    return tensors(
        inputs=inputs,
        targets=asked.answers[:, None],
        target_positions=filled(rows, 1, time),
        positions=np.concatenate((text, asked.places[:, None] + 1), axis=1),
        block_positions=np.concatenate((np.zeros((rows, time), dtype=np.int64), filled(rows, 1, 1)), axis=1),
        prefix_length=np.full(rows, time),
    )


def _hidden(asked: Questions, by: int) -> Ids:
    """The windows with `by` in place of the token in question, (rows, time)."""
    text = asked.windows.copy()
    text[np.arange(len(text)), asked.places] = by
    return text


ASK: dict[str, Callable[[Questions, Specials], Batch]] = {
    "causal_lm": _ask_next_token,
    "prefix_lm": _ask_after_prefix,
    "masked_lm": _ask_mask,
    "span_corruption": _ask_sentinel,
    "blank_infilling": _ask_blank,
}
"""`objective.name` -> how it is asked."""
