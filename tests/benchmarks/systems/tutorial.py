"""The encoder-decoder beside the usual tutorial's: torch.nn.Transformer between embeddings and an output layer.

In its corrected form: batch first, a causal mask over the target, positions added along time. Embeddings are three
matrices of their own, on both sides. Dropout is that of ours: none inside the feed-forward layer, where torch's layers
have one more. It decodes greedily and reads the whole text again for each token, as the tutorial does.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from alternating import Act, training_step
from case import Case
from systems import seq2seq
from systems.common import Batch, their_evaluation
from systems.shapes import Shape, rows_of
from torch import Tensor, nn
from torch.nn import functional as F

from lit_transformer.config.models import EncoderDecoderConfig
from lit_transformer.models import build_model
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.nn.positions import SinusoidalPositions

PEER = "torch.nn.Transformer"
SHAPES = rows_of(96, middle=16, large=6)
DROPOUT = 0.1


class Tutorial(nn.Module):
    """Embeddings, positions, torch's Transformer and an output layer."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.width = shape.d_model
        self.source, self.target = (nn.Embedding(shape.vocab_size, shape.d_model) for _ in range(2))
        self.body = nn.Transformer(
            shape.d_model, shape.num_heads, shape.num_layers, shape.num_layers, shape.d_ff, dropout, batch_first=True
        )
        for layer in (*self.body.encoder.layers, *self.body.decoder.layers):
            layer.dropout.p = 0.0
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(shape.d_model, shape.vocab_size, bias=False)
        places = torch.arange(shape.context_length)[None]
        self.register_buffer("positions", SinusoidalPositions(d_model=shape.d_model)(places))
        for matrix in (self.source, self.target, self.output):
            nn.init.normal_(matrix.weight, std=shape.d_model**-0.5)

    def embed(self, table: nn.Embedding, ids: Tensor) -> Tensor:
        """Ids (batch, time) -> (batch, time, d_model)."""
        return self.dropout(table(ids) * self.width**0.5 + self.positions[:, : ids.shape[1]])

    def decode(self, ids: Tensor, memory: Tensor, padding: Tensor | None) -> Tensor:
        """Logits (batch, time, vocab_size)."""
        causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).triu(1)
        return self.output(
            self.body.decoder(self.embed(self.target, ids), memory, tgt_mask=causal, memory_key_padding_mask=padding)
        )

    def encode(self, ids: Tensor, padding: Tensor | None) -> Tensor:
        """Memory (batch, time, d_model)."""
        return self.body.encoder(self.embed(self.source, ids), src_key_padding_mask=padding)


def network(shape: Shape, dropout: float) -> Seq2Seq:
    """Ours, without shared embeddings."""
    separate = {"share_embeddings": False, "tie_embeddings": False}
    made = build_model(EncoderDecoderConfig(**shape.sized(), dropout=dropout, **separate))
    assert isinstance(made, Seq2Seq)
    return made


def their_answer(model: Tutorial, batch: Batch) -> Callable[[], tuple[Tensor, Tensor]]:
    """Loss and logits."""
    padding = ~batch["input_mask"]

    def answer() -> tuple[Tensor, Tensor]:
        logits = model.decode(batch["decoder_inputs"], model.encode(batch["inputs"], padding), padding)
        return F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten()), logits

    return answer


def their_training(shape: Shape) -> Act:
    """A training step of theirs."""
    model = Tutorial(shape, DROPOUT).train()
    answer = their_answer(model, seq2seq.batch_of(shape, padded=True))
    return training_step(model, lambda: answer()[0])


def peer_evaluation(shape: Shape) -> Act:
    """Loss and accuracy of theirs."""
    model, batch = Tutorial(shape, 0.0), seq2seq.batch_of(shape, padded=True)
    return their_evaluation(model, their_answer(model, batch), batch["targets"])


def their_greedy(shape: Shape) -> Act:
    """Texts of seq2seq.NEW tokens."""
    model, inputs = Tutorial(shape, 0.0).eval(), seq2seq.batch_of(shape, padded=False)["inputs"]

    @torch.inference_mode()
    def act() -> Tensor:
        memory = model.encode(inputs, None)
        ids = torch.full((shape.batch, 1), shape.vocab_size - 1)
        for _ in range(seq2seq.NEW):
            token = model.decode(ids, memory, None)[:, -1].argmax(dim=-1, keepdim=True)
            ids = torch.cat((ids, token), dim=1)
        return ids

    return act


def cases() -> Iterator[Case]:
    """Everything beside the tutorial's network."""
    for shape in SHAPES:
        tokens = seq2seq.tokens_of(shape, padded=True)
        both: dict[str, tuple[Callable[[], Act], Callable[[], Act], int, float | None]] = {
            "training": (partial(seq2seq.our_training, network, shape, DROPOUT, True),
                         partial(their_training, shape), tokens, 1.0),
            "evaluation": (partial(seq2seq.our_evaluation, network, shape, True),
                           partial(peer_evaluation, shape), tokens, 1.0),
            "generation": (partial(seq2seq.our_greedy, network, shape), partial(their_greedy, shape),
                           shape.batch * seq2seq.NEW, None),
        }  # fmt: skip
        for work, (ours, theirs, units, apart) in both.items():
            yield Case(
                system="encoder-decoder", peer=PEER, work=work, shape=shape.name, units=units, apart=apart, ours=ours,
                theirs=theirs, product=shape.product, dropout=DROPOUT if work == "training" else None,
            )  # fmt: skip
