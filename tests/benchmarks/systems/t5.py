"""T5 beside transformers' of the same size: v1.0, tied, relu; rows without padding, as span corruption packs them."""

from collections.abc import Iterator
from functools import partial

from case import Case
from systems import seq2seq
from systems.shapes import DROPOUTS, Shape, rows_of
from transformers import T5Config as PeerConfig
from transformers import T5ForConditionalGeneration

from lit_transformer.config.models import T5Config
from lit_transformer.models import build_model
from lit_transformer.models.seq2seq import Seq2Seq

PEER = "transformers' T5"
SHAPES = rows_of(96, middle=16, large=6)
REQUIRED = {0.0: 1.3, 0.1: 1.4}


def network(shape: Shape, dropout: float) -> Seq2Seq:
    """Ours."""
    made = build_model(T5Config(**shape.sized(), dropout=dropout))
    assert isinstance(made, Seq2Seq)
    return made


def peer(shape: Shape, dropout: float) -> T5ForConditionalGeneration:
    """Theirs."""
    return T5ForConditionalGeneration(
        PeerConfig(
            vocab_size=shape.vocab_size,
            d_model=shape.d_model,
            d_kv=shape.d_model // shape.num_heads,
            d_ff=shape.d_ff,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            dropout_rate=dropout,
            pad_token_id=shape.vocab_size - 1,
            decoder_start_token_id=shape.vocab_size - 1,
            eos_token_id=None,
        )
    )


def training(shape: Shape, dropout: float, *, required: float | None = None) -> Case:
    """Training at a shape."""
    return Case(
        system="T5", peer=PEER, work="training", shape=shape.name, dropout=dropout, required=required, apart=0.5,
        units=seq2seq.tokens_of(shape, padded=False), product=shape.product,
        ours=partial(seq2seq.our_training, network, shape, dropout, False),
        theirs=partial(seq2seq.their_training, peer, shape, dropout, False),
    )  # fmt: skip


def cases() -> Iterator[Case]:
    """Everything beside transformers' T5."""
    for shape in SHAPES:
        for dropout in DROPOUTS:
            yield training(shape, dropout, required=REQUIRED[dropout])
        yield Case(
            system="T5", peer=PEER, work="evaluation", shape=shape.name, apart=0.5, product=shape.product,
            units=seq2seq.tokens_of(shape, padded=False),
            ours=partial(seq2seq.our_evaluation, network, shape, False),
            theirs=partial(seq2seq.peer_evaluation, peer, shape, False),
        )  # fmt: skip
        yield Case(
            system="T5", peer=PEER, work="generation", shape=shape.name, product=shape.product,
            units=shape.batch * seq2seq.NEW, ours=partial(seq2seq.our_greedy, network, shape),
            theirs=partial(seq2seq.their_greedy, peer, shape),
        )  # fmt: skip
