"""A blank in a text: decoding with a GLM."""

from typing import Unpack

import torch
from torch import Tensor

from lit_transformer.decoding.draw import find_texts
from lit_transformer.decoding.guards import evaluating, require
from lit_transformer.decoding.search import Hypothesis, Search, Settings
from lit_transformer.decoding.steps import Steps
from lit_transformer.models.glm import GLM


class BlankSteps(Steps):
    """Tokens of one blank in each row, after the text with its blanks and the blanks written before."""

    def __init__(self, network: GLM, text: dict[str, Tensor], places: Tensor, *, cached: bool = True) -> None:
        """text: `inputs`, `positions`, `block_positions` (rows, time) and `prefix_length` (rows,); places (rows,)."""
        super().__init__(cached=cached)
        self.network, self.text, self.places = network, text, places
        self.cache = network.new_cache() if cached else None
        if cached:
            network.hidden_states(**text, cache=self.cache)

    def read(self, tokens: Tensor) -> Tensor:
        """Logits (rows, vocab_size) after the last token."""
        time = self.text["inputs"].shape[1]
        first = 1 if self.cache is None else self.cache.length - time + 1
        places = self.places[:, None].expand_as(tokens)  # (rows, tokens)
        inner = torch.arange(first, first + tokens.shape[1], device=tokens.device).expand_as(tokens)
        span = {"inputs": tokens, "positions": places, "block_positions": inner}
        if self.cache is None:
            span = {name: torch.cat((self.text[name], span[name]), dim=1) for name in span}  # (rows, time + tokens)
            span["prefix_length"] = self.text["prefix_length"]
        return self.network.logits(self.network.hidden_states(**span, cache=self.cache)[:, -1])

    def reorder_state(self, rows: Tensor, sources: Tensor | None) -> None:
        """Every row carries its text."""
        self.places = self.places[rows]
        if self.cache is None:
            self.text = {name: value[rows] for name, value in self.text.items()}
        else:
            self.cache.reorder(rows)


def decode_blanks(
    network: GLM,
    inputs: Tensor,
    places: Tensor,
    *,
    start_token: int,
    stop_token: int | None,
    prefix_length: Tensor | None = None,
    positions: Tensor | None = None,
    block_positions: Tensor | None = None,
    max_length: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
    **settings: Unpack[Settings],
) -> list[list[Hypothesis]]:
    """What a GLM writes into one blank of each row of inputs (rows, time), the best first: `n_best` for each.

    places (rows) is where the blank stands, counted from 1 as in `positions`. inputs may hold blanks written before
    behind the text, with prefix_length (rows), positions and block_positions (rows, time) as in training; all rows have
    the text's length then, and without these inputs are all text. The settings are those of `Search`, and max_length
    None is all the room that is left. Raises UserError for one out of range and a text that leaves too little room.
    """
    context, (rows, time) = network.config.context_length, inputs.shape
    room = context - time
    require(
        [
            (room >= 1, "text", f"{time} tokens", f"below context_length {context}", "cut the text"),
            (max_length is None or room < 1 or max_length <= room, "max_length", max_length,
             f"at most {room} after {time} tokens of text", "cut the text or give less"),
        ]
    )  # fmt: skip
    search = Search(stop_token=stop_token, max_length=room if max_length is None else max_length, **settings)
    ordinal = torch.arange(1, time + 1, device=inputs.device).expand(rows, -1)  # (rows, time)
    text = {
        "inputs": inputs,
        "prefix_length": inputs.new_full((rows,), time) if prefix_length is None else prefix_length,
        "positions": ordinal if positions is None else positions,
        "block_positions": torch.zeros_like(ordinal) if block_positions is None else block_positions,
    }
    with evaluating(network):
        steps = BlankSteps(network, text, places, cached=use_cache)
        return find_texts(steps, inputs.new_full((rows, 1), start_token), search, generator)
