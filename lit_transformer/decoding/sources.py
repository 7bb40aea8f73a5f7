"""Text for text: decoding with an encoder-decoder."""

from typing import Unpack

import torch
from torch import Tensor

from lit_transformer.decoding.draw import find_texts
from lit_transformer.decoding.guards import evaluating, require
from lit_transformer.decoding.search import Hypothesis, Search, Settings
from lit_transformer.decoding.steps import SourceSteps
from lit_transformer.models.seq2seq import Seq2Seq


def decode_sources(
    network: Seq2Seq,
    inputs: Tensor,
    input_mask: Tensor | None = None,
    *,
    start_token: int,
    stop_token: int | None,
    max_length: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    **settings: Unpack[Settings],
) -> list[list[Hypothesis]]:
    """The texts that an encoder-decoder makes of inputs (rows, time), the best first: `n_best` for each row.

    max_length None is context_length. start_token, which the decoder reads first, is not in the texts; the other
    settings are those of `Search`. Raises UserError for one out of range, a source longer than the context and one
    without tokens.
    """
    room = network.config.context_length
    search = Search(stop_token=stop_token, max_length=room if max_length is None else max_length, **settings)
    require_sources(inputs, input_mask, room)
    require([(search.max_length <= room, "max_length", max_length, f"at most context_length {room}", "give less")])
    if not len(inputs):
        return []
    with evaluating(network):
        steps = SourceSteps(network, inputs, input_mask, cached=use_cache)
        return find_texts(steps, inputs.new_full((len(inputs), 1), start_token), search, generator)


def require_sources(inputs: Tensor, input_mask: Tensor | None, room: int) -> None:
    """Raises UserError for sources (rows, time) longer than `room` tokens and for a row without any."""
    time = inputs.shape[1]
    empty = time == 0 or (input_mask is not None and not bool(input_mask.any(dim=1).all()))
    require(
        [
            (time <= room, "source", f"{time} tokens", f"context_length {room}", "cut or split the text"),
            (not len(inputs) or not empty, "source", "an empty text", "at least one token", "leave the row out"),
        ]
    )
