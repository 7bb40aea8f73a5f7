"""Sentences/s of our beam search beside transformers' `generate` on MarianMTModel with the same weights, alternating.

`python tests/benchmarks/beam_huggingface.py` prints a table and one line of JSON. Both decode the same batch in float32
with a beam of 5 and a cache, and must find the same texts. Weights are random, but for the row of the stop token: it is
fitted so that texts end at about the length of their source, some earlier and some later, as translations do. In the
rows `full` it is left alone: every text goes to the greatest length, and no sentence is done before the others.
"""

import argparse
import json
import logging
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from alternating import Row, alternate, with_threads
from torch import Tensor, nn
from transformers import MarianConfig, MarianMTModel

from lit_transformer.config.models import EncoderDecoderConfig
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.models.encoder_decoder import EncoderDecoder
from tests.models.test_marian_parity import order, parameter_pairs

SENTENCES, BEAM, CONTEXT, MAX_LENGTH, STOP = 32, 5, 64, 30, 0
EMBEDDING, PEAK = 0.2, 15.0
"""Random embeddings are so much smaller than usual, so that hidden states show how long the source is and where the
target stands, and the last norm's weights so much larger, so that few tokens are likely: as in a trained network."""

Texts = list[list[int]]


@dataclass(frozen=True)
class Shape:
    """A network to decode with, and what our sentences/s must be over theirs."""

    vocab_size: int
    d_model: int
    num_layers: int
    num_heads: int
    d_ff: int
    required: float | None


SHAPES = {
    "multi30k": Shape(10_000, 128, 4, 4, 256, 1.5),  # the published tiny Transformer
    "base": Shape(32_000, 512, 6, 8, 2048, 1.5),  # Vaswani et al. 2017
    "multi30k full": Shape(10_000, 128, 4, 4, 256, None),
    "base full": Shape(32_000, 512, 6, 8, 2048, None),
}


def make_pair(shape: Shape) -> tuple[EncoderDecoder, MarianMTModel]:
    """Both networks with the same random weights; the pad is the last token."""
    pad = shape.vocab_size - 1
    torch.manual_seed(0)
    theirs = MarianMTModel(
        MarianConfig(
            vocab_size=shape.vocab_size,
            max_position_embeddings=CONTEXT,
            d_model=shape.d_model,
            encoder_layers=shape.num_layers,
            decoder_layers=shape.num_layers,
            encoder_attention_heads=shape.num_heads,
            decoder_attention_heads=shape.num_heads,
            encoder_ffn_dim=shape.d_ff,
            decoder_ffn_dim=shape.d_ff,
            activation_function="relu",
            scale_embedding=True,
            dropout=0.0,
            pad_token_id=pad,
            decoder_start_token_id=pad,
            eos_token_id=STOP,
            forced_eos_token_id=None,  # else the last token is the stop token, whatever its probability
        )
    ).eval()
    config = EncoderDecoderConfig(
        vocab_size=shape.vocab_size,
        context_length=CONTEXT,
        d_model=shape.d_model,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        d_ff=shape.d_ff,
        dropout=0.0,
    )
    ours = EncoderDecoder(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad and parameter.ndim > 1:
                nn.init.xavier_normal_(parameter)
        theirs.model.shared.weight.normal_(std=EMBEDDING * shape.d_model**-0.5)
        theirs.model.decoder.layers[-1].final_layer_norm.weight.mul_(PEAK)
        for own, other, arrange in parameter_pairs(ours, theirs):
            own.copy_(arrange(other.detach().clone()))
    return ours, theirs


def make_sources(count: int, pad: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random sentences with the lengths of Multi30k's, about 14 tokens: ids and mask (count, time)."""
    generator = torch.Generator().manual_seed(seed)
    lengths = (14 + 4 * torch.randn(count, generator=generator)).round().clamp(5, 26)
    mask = torch.arange(int(lengths.max())) < lengths[:, None]  # (count, time)
    ids = torch.randint(STOP + 1, pad, mask.shape, generator=generator)
    return ids.masked_fill(~mask, pad), mask


@torch.no_grad()
def fit_stop(ours: EncoderDecoder, theirs: MarianMTModel, pad: int) -> None:
    """Give the stop token weights whose logit grows by 2 a token and overtakes the others about where the source ended.

    By least squares, with a ridge, over the hidden states behind random target tokens.
    """
    inputs, mask = make_sources(256, pad, seed=1)
    generator = torch.Generator().manual_seed(2)
    targets = torch.randint(STOP + 1, pad, (len(inputs), MAX_LENGTH), generator=generator)
    hidden = ours.decode(targets, ours.encode(inputs, input_mask=mask), memory_mask=mask)  # (rows, time, d_model)
    wanted = 2.0 * (torch.arange(MAX_LENGTH) - mask.sum(dim=1)[:, None]) + 16  # (rows, time)
    x, y = hidden.flatten(0, 1).double(), wanted.flatten().double()
    ridge = 1e-3 * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(x.T @ x + ridge, x.T @ y).float()  # (d_model,)
    ours.token_embedding.weight[STOP] = weights
    theirs.model.shared.weight[STOP, order(len(weights))] = weights


def make_decoders(shape: Shape, full: bool) -> dict[str, Callable[[], Texts]]:
    """Both ways to decode the same batch."""
    (ours, theirs), pad = make_pair(shape), shape.vocab_size - 1
    if not full:
        fit_stop(ours, theirs, pad)
    inputs, mask = make_sources(SENTENCES, pad, seed=3)

    def decode() -> Texts:
        found = decode_sources(
            ours, inputs, mask, start_token=pad, stop_token=STOP, beam_size=BEAM, max_length=MAX_LENGTH, forbidden=[pad]
        )
        return [best.ids for best, *_ in found]

    def generate() -> Texts:
        with torch.inference_mode():
            made = theirs.generate(
                input_ids=inputs,
                attention_mask=mask.long(),
                num_beams=BEAM,
                max_new_tokens=MAX_LENGTH,
                bad_words_ids=[[pad]],
            )
        return [[token for token in row[1:] if token not in (pad, STOP)] for row in made.tolist()]

    return {"ours": decode, "theirs": generate}


def decoder(shape: Shape, who: str) -> Callable[[], Texts]:
    """One of both ways, `ours` or `theirs`; where texts end is fitted."""
    return make_decoders(shape, full=False)[who]


def compare(name: str, pairs: int) -> Row:
    """Sentences/s of both, and the median over pairs of ours / theirs."""
    shape = SHAPES[name]
    both = make_decoders(shape, full=name.endswith("full"))
    texts = {who: decode() for who, decode in both.items()}
    if texts["ours"] != texts["theirs"]:
        raise RuntimeError(f"{name}: the texts differ, so the two do different work")
    lengths = [len(text) for text in texts["ours"]]
    speeds = alternate(both, units=SENTENCES, pairs=pairs)
    row = {**speeds, "tokens": statistics.mean(lengths), "longest": max(lengths)}
    return row if shape.required is None else {**row, "required": shape.required}


def measure(*, pairs: int = 5) -> dict[str, Row]:
    """Every shape: name -> ours and theirs (sentences/s), ratio, tokens a text, the longest text, required."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    return with_threads(lambda: {name: compare(name, pairs) for name in SHAPES})


def main() -> None:
    """Print the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    rows = measure(pairs=parser.parse_args().pairs)
    columns = ("ours", "theirs", "ratio", "required", "tokens", "longest")
    print(f"{f'beam {BEAM}, sentences/s':<22}" + "".join(f"{column:>10}" for column in columns))
    for name, row in rows.items():
        cells = (f"{row[column]:.2f}" if column in row else "" for column in columns)
        print(f"{name:<22}" + "".join(f"{cell:>10}" for cell in cells))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
