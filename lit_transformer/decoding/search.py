"""What a search is told, and what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from lit_transformer.decoding.guards import require, sampling_rules


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A text that was found."""

    ids: list[int]
    """Its tokens, without the prompt and without the stop token."""
    log_probability: float
    """Sum over its tokens, the stop token included, in nats."""
    score: float
    """log_probability / length ** length_penalty; the stop token counts in the length."""
    ended: bool
    """It ended with the stop token, not at max_length."""


class Settings(TypedDict, total=False):
    """What of a `Search` a caller may give by name; the defaults are there."""

    min_length: int
    beam_size: int
    length_penalty: float
    n_best: int
    forbidden: Sequence[int]
    temperature: float
    top_k: int | None
    top_p: float | None


@dataclass(frozen=True, kw_only=True)
class Search:
    """Settings of a search; raises UserError for one out of range."""

    stop_token: int | None
    """What ends a text; None: nothing but max_length."""
    max_length: int
    """Tokens at most, the stop token included."""
    min_length: int = 0
    """Tokens that come before the stop token at least."""
    beam_size: int = 1
    """Hypotheses kept for each source; 1 = greedy."""
    length_penalty: float = 1.0
    """Exponent of the length that a log-probability is divided by; 0 = none, more favours long texts."""
    n_best: int = 1
    """Hypotheses given back for each source, the best first."""
    forbidden: Sequence[int] = ()
    """Tokens that are never chosen, such as padding; the others' probabilities stay as they are."""
    temperature: float = 0.0
    """Divides the logits before a token is drawn; 0 = search, nothing is drawn."""
    top_k: int | None = None
    """Draw among the k likeliest tokens."""
    top_p: float | None = None
    """Draw among the likeliest tokens that have this probability together."""

    def __post_init__(self) -> None:
        size, length = self.beam_size, self.max_length
        require(
            [
                (length >= 1, "max_length", length, "1 or more", "leave it out for as long as the context allows"),
                (0 <= self.min_length < max(length, 1), "min_length", self.min_length,
                 f"0 to {length - 1}, below max_length", "0 allows an empty text"),
                (size >= 1, "beam_size", size, "1 or more", "1 is greedy"),
                (1 <= self.n_best <= max(size, 1), "n_best", self.n_best, f"1 to beam_size {size}", "raise beam_size"),
                (self.stop_token not in self.forbidden, "forbidden", list(self.forbidden),
                 f"tokens other than the stop token {self.stop_token}", "leave it out"),
                (size == 1 or not self.temperature, "temperature", self.temperature, "0 with beam_size above 1",
                 "draw with beam_size 1"),
                *sampling_rules(self.temperature, self.top_k, self.top_p),
            ]
        )  # fmt: skip

    def suppress(self, scores: Tensor, length: int) -> Tensor:
        """Scores (rows, vocab) of the token number `length`, counted from 1, with those not allowed at -inf, in place.

        Probabilities are not normalised again, as in transformers' beam search.
        """
        for token in self.forbidden:  # few; one by one is faster than an index of them
            scores[:, token] = -torch.inf
        if self.stop_token is not None and length <= self.min_length:
            scores[:, self.stop_token] = -torch.inf
        return scores

    def hypothesis(self, ids: list[int], log_probability: float, score: float) -> Hypothesis:
        """The finished text of some ids, whose last one may be the stop token."""
        ended = bool(ids) and ids[-1] == self.stop_token
        return Hypothesis(ids=ids[:-1] if ended else ids, log_probability=log_probability, score=score, ended=ended)


NOTHING = Hypothesis(ids=[], log_probability=-torch.inf, score=-torch.inf, ended=False)
"""Stands where no text has a probability above 0, such as where a network gives NaN."""
