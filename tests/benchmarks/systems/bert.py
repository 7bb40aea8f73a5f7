"""BERT beside transformers' BertForMaskedLM of the same size.

Both take the same whole rows with the same 15 % of targets; ours is given the places of the targets, theirs labels of
-100 everywhere else. Inference fills those places in.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from alternating import Act, training_step
from case import Case
from systems.common import Batch, evaluation, mean_loss, their_evaluation
from systems.shapes import DROPOUTS, Shape, rows_of
from torch import Tensor
from transformers import BertConfig as PeerConfig
from transformers import BertForMaskedLM

from lit_transformer.config.models import BertConfig
from lit_transformer.models.bert import Bert

PEER = "transformers' BertForMaskedLM"
SHAPES = rows_of(128, middle=16, large=8)
REQUIRED = {0.0: 1.7, 0.1: 1.5}


def batch_of(shape: Shape) -> Batch:
    """Ids (batch, time), with targets (batch, n) and their places."""
    time, targets = shape.context_length, round(0.15 * shape.context_length)
    places = torch.stack([torch.randperm(time)[:targets].sort().values for _ in range(shape.batch)])
    return {
        "inputs": torch.randint(shape.vocab_size, (shape.batch, time)),
        "targets": torch.randint(shape.vocab_size, (shape.batch, targets)),
        "target_positions": places,
    }


def network(shape: Shape, dropout: float = 0.0) -> Bert:
    """Ours."""
    return Bert(BertConfig(**shape.sized(), dropout=dropout))


def peer(shape: Shape, dropout: float = 0.0) -> BertForMaskedLM:
    """Theirs."""
    return BertForMaskedLM(
        PeerConfig(
            vocab_size=shape.vocab_size,
            max_position_embeddings=shape.context_length,
            hidden_size=shape.d_model,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            intermediate_size=shape.d_ff,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def labels_of(shape: Shape, batch: Batch) -> Tensor:
    """Targets at their places, -100 elsewhere: (batch, time)."""
    empty = torch.full((shape.batch, shape.context_length), -100)
    return empty.scatter(1, batch["target_positions"], batch["targets"])


def their_answer(model: BertForMaskedLM, inputs: Tensor, labels: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    """Their loss and logits."""

    def answer() -> tuple[Tensor, Tensor]:
        result = model(input_ids=inputs, labels=labels)
        return result.loss, result.logits

    return answer


def our_training(shape: Shape, dropout: float, *, compiled: bool = False) -> Act:
    """A training step."""
    model = network(shape, dropout).train()
    loss = mean_loss(model, batch_of(shape))
    return training_step(model, torch.compile(loss) if compiled else loss)


def their_training(shape: Shape, dropout: float, *, compiled: bool = False) -> Act:
    """A training step of theirs."""
    model, batch = peer(shape, dropout).train(), batch_of(shape)
    answer = their_answer(model, batch["inputs"], labels_of(shape, batch))

    def loss() -> Tensor:
        return answer()[0]

    return training_step(model, torch.compile(loss) if compiled else loss)


def our_evaluation(shape: Shape) -> Act:
    """Loss and accuracy of one batch."""
    return evaluation(network(shape), batch_of(shape))


def peer_evaluation(shape: Shape) -> Act:
    """The same of theirs."""
    model, batch = peer(shape), batch_of(shape)
    labels = labels_of(shape, batch)
    return their_evaluation(model, their_answer(model, batch["inputs"], labels), labels)


def our_filling(shape: Shape) -> Act:
    """The likeliest token at each target's place."""
    model, batch = network(shape).eval(), batch_of(shape)

    @torch.inference_mode()
    def act() -> Tensor:
        hidden = model.target_hidden(batch["inputs"], target_positions=batch["target_positions"])
        return model.logits(hidden).argmax(dim=-1)

    return act


def their_filling(shape: Shape) -> Act:
    """The same of theirs, which has logits everywhere."""
    model, batch = peer(shape).eval(), batch_of(shape)
    places = batch["target_positions"]

    @torch.inference_mode()
    def act() -> Tensor:
        logits = model(input_ids=batch["inputs"]).logits  # (batch, time, vocab_size)
        return logits.take_along_dim(places[..., None], dim=1).argmax(dim=-1)

    return act


def training(shape: Shape, dropout: float, *, compiled: bool = False, required: float | None = None) -> Case:
    """Training at a shape."""
    return Case(
        system="BERT", peer=PEER, work="compiled training" if compiled else "training", shape=shape.name,
        dropout=dropout, units=shape.tokens, product=shape.product, apart=0.3, required=required,
        ours=partial(our_training, shape, dropout, compiled=compiled),
        theirs=partial(their_training, shape, dropout, compiled=compiled),
    )  # fmt: skip


def cases() -> Iterator[Case]:
    """Everything beside BertForMaskedLM."""
    for shape in SHAPES:
        for dropout in DROPOUTS:
            yield training(shape, dropout, required=REQUIRED[dropout])
        works = (("evaluation", our_evaluation, peer_evaluation, 0.3), ("filling", our_filling, their_filling, None))
        for work, ours, theirs, apart in works:
            yield Case(
                system="BERT", peer=PEER, work=work, shape=shape.name, units=shape.tokens, product=shape.product,
                apart=apart, ours=partial(ours, shape), theirs=partial(theirs, shape),
            )  # fmt: skip
