"""The encoder-decoder Transformer beside transformers' Marian of the same size, on padded pairs; beam search of 5.

Post-norm, relu, tied and shared embeddings; dropout where the paper has it and in attention, on both sides.
"""

from collections.abc import Iterator
from functools import partial

from beam_huggingface import SENTENCES, decoder
from beam_huggingface import Shape as BeamShape
from case import Case
from systems import seq2seq
from systems.shapes import DROPOUTS, Shape, rows_of
from transformers import MarianConfig, MarianMTModel

from lit_transformer.config.models import EncoderDecoderConfig
from lit_transformer.models import build_model
from lit_transformer.models.seq2seq import Seq2Seq

PEER = "transformers' Marian"
SHAPES = rows_of(96, middle=16, large=6)
REQUIRED = {0.0: 1.2, 0.1: 1.3}


def network(shape: Shape, dropout: float) -> Seq2Seq:
    """Ours."""
    made = build_model(EncoderDecoderConfig(**shape.sized(), dropout=dropout))
    assert isinstance(made, Seq2Seq)
    return made


def peer(shape: Shape, dropout: float) -> MarianMTModel:
    """Theirs."""
    return MarianMTModel(
        MarianConfig(
            vocab_size=shape.vocab_size,
            max_position_embeddings=shape.context_length,
            d_model=shape.d_model,
            encoder_layers=shape.num_layers,
            decoder_layers=shape.num_layers,
            encoder_attention_heads=shape.num_heads,
            decoder_attention_heads=shape.num_heads,
            encoder_ffn_dim=shape.d_ff,
            decoder_ffn_dim=shape.d_ff,
            activation_function="relu",
            scale_embedding=True,
            dropout=dropout,
            attention_dropout=dropout,
            activation_dropout=0.0,
            init_std=shape.d_model**-0.5,
            pad_token_id=shape.vocab_size - 1,
            decoder_start_token_id=shape.vocab_size - 1,
            eos_token_id=0,
        )
    )


def training(shape: Shape, dropout: float, *, required: float | None = None) -> Case:
    """Training at a shape."""
    return Case(
        system="encoder-decoder", peer=PEER, work="training", shape=shape.name, dropout=dropout, required=required,
        apart=0.5, units=seq2seq.tokens_of(shape, padded=True), product=shape.product,
        ours=partial(seq2seq.our_training, network, shape, dropout, True),
        theirs=partial(seq2seq.their_training, peer, shape, dropout, True),
    )  # fmt: skip


def cases() -> Iterator[Case]:
    """Everything beside Marian."""
    for shape in SHAPES:
        for dropout in DROPOUTS:
            yield training(shape, dropout, required=REQUIRED[dropout])
        yield Case(
            system="encoder-decoder", peer=PEER, work="evaluation", shape=shape.name, apart=0.5,
            product=shape.product, units=seq2seq.tokens_of(shape, padded=True),
            ours=partial(seq2seq.our_evaluation, network, shape, True),
            theirs=partial(seq2seq.peer_evaluation, peer, shape, True),
        )  # fmt: skip
        searched = BeamShape(shape.vocab_size, shape.d_model, shape.num_layers, shape.num_heads, shape.d_ff, None)
        yield Case(
            system="encoder-decoder", peer=PEER, work="beam search", shape=shape.name, product=shape.product,
            units=SENTENCES, unit="sentences", same=True, ours=partial(decoder, searched, "ours"),
            theirs=partial(decoder, searched, "theirs"),
        )  # fmt: skip
