"""GLM beside what one would take in its place: transformers' GPT-2 on the same rows, with the same mask and positions.

15 % of a row's text is in blanks of 3 tokens on average, and targets are in those alone. GPT-2 gets the mask of the
prefix, the first positions as its own, the second as its token types, which it looks up in its table of tokens, and
labels of -100 in the prefix. Its `generate` has no such mask: it reads the text causally, which costs the same.
"""

from collections.abc import Iterator
from functools import partial

import torch
from alternating import Act, training_step
from case import Case
from systems import gpt
from systems.common import Batch, evaluation, mean_loss, their_evaluation
from systems.shapes import DROPOUTS, Shape, rows_of
from torch import Tensor
from transformers import GPT2LMHeadModel

from lit_transformer.config.models import GLMConfig
from lit_transformer.decoding.blanks import decode_blanks
from lit_transformer.models.glm import GLM
from lit_transformer.nn.masks import prefix_mask

PEER = "transformers' GPT-2 with GLM's mask"
SHAPES = rows_of(176, middle=12, large=6)
NEW = 16
"""Tokens of a filled blank."""


def targets_of(shape: Shape) -> int:
    """Places of part B: of 20 tokens of text 3 are in a blank, which makes 18 of part A and 4 of part B."""
    return shape.context_length * 4 // 22


def batch_of(shape: Shape) -> Batch:
    """Rows of parts A and B."""
    time = shape.context_length
    ids = torch.randint(shape.vocab_size, (shape.batch, time + 1))
    prefix = time - targets_of(shape)
    places = torch.arange(time).expand(shape.batch, time)
    return {
        "inputs": ids[:, :-1],
        "targets": ids[:, 1 + prefix :],
        "target_positions": places[:, prefix:],
        "prefix_length": torch.full((shape.batch,), prefix),
        "positions": torch.where(places < prefix, places + 1, (places - prefix) // 4 + 1),
        "block_positions": torch.where(places < prefix, 0, (places - prefix) % 4 + 1),
    }


def network(shape: Shape, dropout: float = 0.0) -> GLM:
    """Ours."""
    return GLM(GLMConfig(**shape.sized(), dropout=dropout))


def peer(shape: Shape, dropout: float = 0.0) -> GPT2LMHeadModel:
    """Theirs, with as many positions as ours."""
    made = gpt.peer(shape, dropout)
    made.transformer.wpe = torch.nn.Embedding(shape.context_length + 1, shape.d_model)
    torch.nn.init.normal_(made.transformer.wpe.weight, std=0.02)
    return made


class Theirs:
    """Their network on a batch of ours."""

    def __init__(self, model: GPT2LMHeadModel, shape: Shape) -> None:
        batch = batch_of(shape)
        prefix = shape.context_length - targets_of(shape)
        self.targets = torch.full(batch["inputs"].shape, -100)
        self.targets[:, prefix:] = batch["targets"]
        self._model, self._batch = model, batch

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Loss and logits."""
        batch = self._batch
        mask = prefix_mask(batch["prefix_length"], batch["inputs"].shape[1])  # (batch, 1, time, time)
        result = self._model(
            input_ids=batch["inputs"], attention_mask=mask, position_ids=batch["positions"],
            token_type_ids=batch["block_positions"], shift_labels=self.targets, labels=self.targets, use_cache=False,
        )  # fmt: skip
        return result.loss, result.logits


def our_training(shape: Shape, dropout: float) -> Act:
    """A training step."""
    model = network(shape, dropout).train()
    return training_step(model, mean_loss(model, batch_of(shape)))


def their_training(shape: Shape, dropout: float) -> Act:
    """A training step of theirs."""
    model = peer(shape, dropout).train()
    answer = Theirs(model, shape)
    return training_step(model, lambda: answer()[0])


def our_evaluation(shape: Shape) -> Act:
    """Loss and accuracy of one batch."""
    return evaluation(network(shape), batch_of(shape))


def peer_evaluation(shape: Shape) -> Act:
    """The same of theirs."""
    model = peer(shape)
    answer = Theirs(model, shape)
    return their_evaluation(model, answer, answer.targets)


def prompt_of(shape: Shape) -> Tensor:
    """Texts with a blank (batch, time) that leave room for its tokens."""
    return torch.randint(shape.vocab_size, (shape.batch, shape.context_length - NEW - 1))


def our_filling(shape: Shape) -> Act:
    """NEW tokens of one blank in each row, greedily and cached."""
    model, inputs = network(shape).eval(), prompt_of(shape)
    places = torch.full((shape.batch,), inputs.shape[1] // 2)
    return lambda: decode_blanks(model, inputs, places, start_token=0, stop_token=None, max_length=NEW)


def their_filling(shape: Shape) -> Act:
    """As many tokens after as much text."""
    model, inputs = gpt.peer(shape).eval(), prompt_of(shape)
    mask = torch.ones_like(inputs)
    return lambda: model.generate(inputs, attention_mask=mask, max_new_tokens=NEW, do_sample=False, pad_token_id=0)


def training(shape: Shape, dropout: float) -> Case:
    """Training at a shape."""
    return Case(
        system="GLM", peer=PEER, work="training", shape=shape.name, dropout=dropout, apart=0.3, units=shape.tokens,
        product=shape.product, ours=partial(our_training, shape, dropout),
        theirs=partial(their_training, shape, dropout),
    )  # fmt: skip


def cases() -> Iterator[Case]:
    """Everything beside GPT-2 with GLM's mask, and training beside our own GPT on rows of the same length."""
    for shape in SHAPES:
        for dropout in DROPOUTS:
            yield training(shape, dropout)
        yield Case(
            system="GLM", peer=PEER, work="evaluation", shape=shape.name, apart=0.3, units=shape.tokens,
            product=shape.product, ours=partial(our_evaluation, shape), theirs=partial(peer_evaluation, shape),
        )  # fmt: skip
        yield Case(
            system="GLM", peer=PEER, work="filling", shape=shape.name, units=shape.batch * NEW, product=shape.product,
            ours=partial(our_filling, shape), theirs=partial(their_filling, shape),
        )  # fmt: skip
    middle = SHAPES[1]
    yield Case(
        system="GLM", peer="our GPT", work="training", shape=middle.name, dropout=0.0, apart=0.3, units=middle.tokens,
        product=middle.product, required=1 / 1.15, ours=partial(our_training, middle, 0.0),
        theirs=partial(gpt.our_training, middle, 0.0),
    )  # fmt: skip
