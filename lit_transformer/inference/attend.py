"""`attend`: which token attends to which, in every layer and head of a trained network."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders
from torch import Tensor, nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import TransformerConfig
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.inference.fill import BLANK
from lit_transformer.inference.text_run import TextRun, open_text_run
from lit_transformer.models.base import TextNetwork
from lit_transformer.models.bert import Bert
from lit_transformer.models.glm import GLM
from lit_transformer.models.heads import Head
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.nn.attention_recording import record_attention

Side = Literal["encoder", "decoder", "cross"]
SIDES: tuple[Side, ...] = ("encoder", "decoder", "cross")
"""Kinds of attention in the order in which a page shows them."""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """What a network attends to in one text."""

    run: str
    """The run's folder, as it was given."""
    model: str
    """The network in words."""
    text: str
    tokens: list[str]
    """Those of the text, special ones included; of an encoder-decoder those of its source."""
    target_tokens: list[str] | None
    """What an encoder-decoder's decoder reads, its start token first: each predicts the next one."""
    weights: dict[str, NDArray[np.float32]]
    """`encoder/0`, `decoder/0`, `cross/0` and so on, the number being the layer's: (heads, queries, keys)."""

    def tokens_of(self, side: Side) -> tuple[list[str], list[str]]:
        """Tokens of the queries and of the keys."""
        target = self.tokens if self.target_tokens is None else self.target_tokens
        return (self.tokens if side == "encoder" else target), (target if side == "decoder" else self.tokens)

    def layers_of(self, side: Side) -> list[NDArray[np.float32]]:
        """Weights of every layer, the first layer first; none where the network has no such attention."""
        return [weights for name, weights in self.weights.items() if name.partition("/")[0] == side]


def attend(path: str | os.PathLike[str], text: str, *, target: str | None = None) -> Attention:
    """What the run in a folder attends to in a text; of an encoder-decoder, the source.

    target None: an encoder-decoder writes it, greedily. Raises UserError where the folder is no trained run, a text is
    empty or longer than the context, a target is given to another network, or the network computes NaN.
    """
    run = open_text_run(Path(path))
    network = run.network.body if isinstance(run.network, Head) else run.network
    batch = _batch(run, network, text, target)
    with torch.inference_mode(), record_attention(network) as recorded:
        network.hidden_states(**batch)
    weights = {attention_name(layer, network): each[0].numpy() for layer, each in recorded.items()}
    if not all(np.isfinite(each).all() for each in weights.values()):
        raise UserError(f"{path}: its network computes NaN for this text\n  fix      use a run that did not diverge")
    targets = batch.get("decoder_inputs")
    return Attention(
        run=str(path),
        model=in_words(run.config.model),
        text=text,
        tokens=token_texts(run.tokenizer, batch["inputs"][0].tolist()),
        target_tokens=None if targets is None else token_texts(run.tokenizer, targets[0].tolist()),
        weights=dict(sorted(weights.items(), key=lambda item: place(item[0]))),
    )


def summary(attention: Attention, page: Path, arrays: Path) -> str:
    """One JSON document: where page and arrays are, and what the arrays hold."""
    found = {
        "run": attention.run,
        "model": attention.model,
        "page": str(page),
        "arrays": str(arrays),
        "tokens": attention.tokens,
        "target_tokens": attention.target_tokens,
        "weights": {
            name: dict(zip(("heads", "queries", "keys"), weights.shape, strict=True))
            for name, weights in attention.weights.items()
        },
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def token_texts(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Each token as a person reads it; part of a character becomes U+FFFD."""
    if isinstance(tokenizer.decoder, decoders.ByteLevel):  # whose tokens are spelled in an alphabet of its own
        found: list[str] = tokenizer.decode_batch([[index] for index in ids], skip_special_tokens=False)
        return found
    return [tokenizer.id_to_token(index) or f"<{index}>" for index in ids]


def _batch(run: TextRun, network: TextNetwork, text: str, target: str | None) -> dict[str, Tensor]:
    """What the network's `hidden_states` takes: the texts as it was trained to read them."""
    by = f"attend with a {run.config.model.kind}"
    if isinstance(network, Seq2Seq):
        pad, end = run.specials.required("pad", "end", by=by)
        prefix = run.config.data.prefix if text.strip() else ""  # a prefix alone is still an empty text
        inputs = _row(run, [*_encode(run, prefix + text), end])  # (1, time)
        ids = _translation(run, network, inputs, pad, end) if target is None else _encode(run, target)
        return {"inputs": inputs, "decoder_inputs": _row(run, [pad, *ids])}
    if target is not None:
        raise UserError(
            f"--target\n  got      {target}\n  allowed  nothing: a {run.config.model.kind} reads one text\n"
            "  fix      leave it out"
        )
    ids = _encode(run, text)
    around = ("cls", "sep") if isinstance(network, Bert) else ("start", "extract")
    if isinstance(network, Bert) or network is not run.network:  # a GPT's head knows a text by its ends
        first, last = run.specials.required(*around, by=by)
        ids = [first, *ids, last]
    inputs = _row(run, ids)  # (1, time)
    how = {"prefix_length": torch.tensor([len(ids)])} if isinstance(network, GLM) or run.prefix_lm else {}
    return {"inputs": inputs, **how}


def _translation(run: TextRun, network: Seq2Seq, inputs: Tensor, pad: int, end: int) -> list[int]:
    length = run.config.decoding.max_length
    found = decode_sources(network, inputs, start_token=pad, stop_token=end, max_length=length, forbidden=(pad,))
    return found[0][0].ids[: run.context_length - 1]


def _encode(run: TextRun, text: str) -> list[int]:
    """Ids of a text, in which `[MASK]` is a blank for the networks that know blanks."""
    mask, sentinels = run.specials.mask, run.specials.sentinels
    blanks = [mask] * text.count(BLANK) if mask is not None else list(sentinels)
    parts = text.split(BLANK, maxsplit=len(blanks))
    ids: list[int] = []
    for blank, part in zip(blanks, parts[:-1], strict=False):
        ids += [*run.encode(run.spaces.before_blank(part)), blank]
    ids += run.encode(parts[-1])
    if not ids:
        raise UserError("The text is empty: it has no token.\n  fix      give some text")
    return ids


def _row(run: TextRun, ids: list[int]) -> Tensor:
    if len(ids) > run.context_length:
        raise UserError(
            "The text is longer than the run's model.context_length.\n"
            f"  got      {len(ids)} tokens, special ones included\n  allowed  {run.context_length}\n"
            "  fix      give a shorter text"
        )
    return torch.tensor([ids])  # (1, time)


def attention_name(layer: str, network: nn.Module) -> str:
    """Name of an attention layer in a network, without a head around it -> as a person says it.

    `decoder_blocks.1.cross_attention` -> `cross/1`.
    """
    stack, number, attention = layer.split(".")
    alone = "encoder" if isinstance(network, Bert) else "decoder"
    side = alone if stack == "blocks" else stack.removesuffix("_blocks")
    return f"{'cross' if attention == 'cross_attention' else side}/{number}"


def place(name: str) -> tuple[int, int]:
    """Sort key of names such as `cross/1`: encoder, decoder, cross, and their layers in order."""
    side, _, number = name.partition("/")
    return [str(known) for known in SIDES].index(side), int(number)


def in_words(model: object) -> str:
    """A Transformer's settings on one line."""
    assert isinstance(model, TransformerConfig)
    sides = (getattr(model, f"num_{side}_layers", None) or model.num_layers for side in ("encoder", "decoder"))
    layers = " + ".join(map(str, sides)) if hasattr(model, "num_encoder_layers") else str(model.num_layers)
    return f"{model.kind}, num_layers {layers}, num_heads {model.num_heads}, d_model {model.d_model}"
