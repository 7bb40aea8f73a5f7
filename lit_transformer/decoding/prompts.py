"""Continuations of a prompt: decoding with a decoder-only network, without a sliding window."""

from typing import Unpack

import torch
from torch import Tensor

from lit_transformer.decoding.draw import find_texts
from lit_transformer.decoding.guards import evaluating, require
from lit_transformer.decoding.sampling import NextTokenModel
from lit_transformer.decoding.search import Hypothesis, Search, Settings
from lit_transformer.decoding.steps import PromptSteps


def decode_prompts(
    network: NextTokenModel,
    ids: Tensor,
    *,
    stop_token: int | None = None,
    max_length: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    prefix_lm: bool = False,
    **settings: Unpack[Settings],
) -> list[list[Hypothesis]]:
    """What a decoder-only network writes after ids (rows, time), the best first: `n_best` for each row.

    Prompt and text fit the context together, and max_length None is all the room that the prompt leaves;
    `sampling.generate` goes on past it. With prefix_lm the prompt is a prefix, seen whole. The other settings are those
    of `Search`. Raises UserError for one out of range and for a prompt that is empty or leaves too little room.
    """
    context, time = network.config.context_length, ids.shape[1]
    room = context - time + 1  # the last token that is written is never read
    require(
        [
            (time > 0, "prompt", "an empty text", "at least one token", "give a prompt"),
            (room >= 1, "prompt", f"{time} tokens", f"context_length {context}", "cut the prompt"),
            (max_length is None or room < 1 or max_length <= room, "max_length", max_length,
             f"at most {room} after {time} tokens of prompt", "cut the prompt or give less"),
        ]
    )  # fmt: skip
    search = Search(stop_token=stop_token, max_length=room if max_length is None else max_length, **settings)
    with evaluating(network):
        return find_texts(
            PromptSteps(network, prefix=time if prefix_lm else None, cached=use_cache), ids, search, generator
        )
