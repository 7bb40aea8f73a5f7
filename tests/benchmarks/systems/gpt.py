"""GPT beside transformers' GPT-2 of the same size."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from alternating import Act, training_step
from case import Case
from systems.common import evaluation, mean_loss, their_evaluation
from systems.shapes import DROPOUTS, Shape, rows_of
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from lit_transformer.config.schema import GPTConfig
from lit_transformer.decoding.sampling import generate
from lit_transformer.models.gpt import GPT

PEER = "transformers' GPT-2"
SHAPES = rows_of(256, middle=8, large=4)
REQUIRED = {0.0: 1.15, 0.1: 1.3}
"""Dropout on both -> our training's speed over theirs, at least."""
SHARE = 70.0
"""Percent of the matmul ceiling that training reaches at d 512 without dropout, at least."""


def batch_of(shape: Shape) -> dict[str, Tensor]:
    """Ids and what follows each, (batch, time)."""
    ids = torch.randint(shape.vocab_size, (shape.batch, shape.context_length + 1))
    return {"inputs": ids[:, :-1], "targets": ids[:, 1:]}


def network(shape: Shape, dropout: float = 0.0) -> GPT:
    """Ours."""
    return GPT(GPTConfig(**shape.sized(), dropout=dropout))


def peer(shape: Shape, dropout: float = 0.0) -> GPT2LMHeadModel:
    """Theirs."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocab_size,
            n_positions=shape.context_length,
            n_embd=shape.d_model,
            n_layer=shape.num_layers,
            n_head=shape.num_heads,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            resid_pdrop=dropout,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def our_training(shape: Shape, dropout: float, *, compiled: bool = False) -> Act:
    """A training step."""
    model = network(shape, dropout).train()
    loss = mean_loss(model, batch_of(shape))
    return training_step(model, torch.compile(loss) if compiled else loss)


def their_training(shape: Shape, dropout: float, *, compiled: bool = False) -> Act:
    """A training step of theirs."""
    model = peer(shape, dropout).train()
    answer = their_answer(model, batch_of(shape))

    def loss() -> Tensor:
        return answer()[0]

    return training_step(model, torch.compile(loss) if compiled else loss)


def their_answer(model: GPT2LMHeadModel, batch: dict[str, Tensor]) -> Callable[[], tuple[Tensor, Tensor]]:
    """Their loss and logits. They shift labels themselves; given so, both predict the same from the same inputs."""
    targets = batch["targets"].contiguous()

    def answer() -> tuple[Tensor, Tensor]:
        result = model(input_ids=batch["inputs"], shift_labels=targets, labels=targets, use_cache=False)
        return result.loss, result.logits

    return answer


def our_evaluation(shape: Shape) -> Act:
    """Loss and accuracy of one batch."""
    return evaluation(network(shape), batch_of(shape))


def peer_evaluation(shape: Shape) -> Act:
    """The same of theirs."""
    model, batch = peer(shape), batch_of(shape)
    return their_evaluation(model, their_answer(model, batch), batch["targets"])


def lengths(shape: Shape) -> tuple[int, int]:
    """Tokens of a prompt and new ones; together they fill the context, but for what would take seconds."""
    return shape.context_length // 2, min(shape.context_length // 2, 32)


def our_generation(shape: Shape) -> Act:
    """Greedy, with a cache."""
    model, (prompt, new) = network(shape).eval(), lengths(shape)
    ids = torch.randint(shape.vocab_size, (shape.batch, prompt))
    return lambda: generate(model, ids, max_new_tokens=new, temperature=0.0)


def their_generation(shape: Shape) -> Act:
    """Greedy, with a cache."""
    model, (prompt, new) = peer(shape).eval(), lengths(shape)
    ids = torch.randint(shape.vocab_size, (shape.batch, prompt))
    mask = torch.ones_like(ids)

    @torch.inference_mode()
    def act() -> Tensor:
        made = model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0)
        assert made.shape[1] == prompt + new
        return made

    return act


def training(shape: Shape, dropout: float, *, compiled: bool = False, required: float | None = None) -> Case:
    """Training at a shape."""
    return Case(
        system="GPT", peer=PEER, work="compiled training" if compiled else "training", shape=shape.name,
        dropout=dropout, units=shape.tokens, product=shape.product, apart=0.2, required=required,
        share=SHARE if shape.name == "d 512" and not dropout and not compiled else None,
        ours=partial(our_training, shape, dropout, compiled=compiled),
        theirs=partial(their_training, shape, dropout, compiled=compiled),
    )  # fmt: skip


def cases() -> Iterator[Case]:
    """Everything beside GPT-2."""
    for shape in SHAPES:
        for dropout in DROPOUTS:
            yield training(shape, dropout, required=REQUIRED[dropout])
        yield Case(
            system="GPT", peer=PEER, work="evaluation", shape=shape.name, units=shape.tokens, product=shape.product,
            apart=0.2, ours=partial(our_evaluation, shape),
            theirs=partial(peer_evaluation, shape),
        )  # fmt: skip
        yield Case(
            system="GPT", peer=PEER, work="generation", shape=shape.name, units=shape.batch * lengths(shape)[1],
            product=shape.product, ours=partial(our_generation, shape),
            theirs=partial(their_generation, shape),
        )  # fmt: skip
