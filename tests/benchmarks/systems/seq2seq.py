"""What T5 and the encoder-decoder share beside their peers: batches, steps, greedy decoding."""

from collections.abc import Callable

import torch
from alternating import Act, training_step
from systems.common import Batch, evaluation, mean_loss, their_evaluation
from systems.shapes import Shape
from torch import Tensor, nn

from lit_transformer.decoding.sources import decode_sources
from lit_transformer.models.seq2seq import Seq2Seq

SHORTEST = 0.5
"""Length of the shortest row over that of the longest, where there is padding; about a quarter is padding then."""
NEW = 32
"""Tokens of a decoded text at most."""


def batch_of(shape: Shape, *, padded: bool) -> Batch:
    """Random ids; with padding, which is the last token, rows of evenly spread lengths on both sides."""
    pad, size = shape.vocab_size - 1, (shape.batch, shape.context_length)
    inputs, decoder_inputs, targets = (torch.randint(pad, size) for _ in range(3))
    batch = {"inputs": inputs, "decoder_inputs": decoder_inputs, "targets": targets}
    if padded:
        lengths = torch.linspace(SHORTEST * shape.context_length, shape.context_length, shape.batch).long()
        kept = torch.arange(shape.context_length) < lengths[:, None]  # (batch, time)
        batch["inputs"], batch["decoder_inputs"] = inputs.where(kept, pad), decoder_inputs.where(kept, pad)
        batch["targets"], batch["input_mask"] = targets.where(kept, -100), kept
    return batch


def tokens_of(shape: Shape, *, padded: bool) -> int:
    """Of both sides, without padding."""
    return 2 * int((batch_of(shape, padded=padded)["targets"] != -100).sum())


def their_answer(model: nn.Module, batch: Batch) -> Callable[[], tuple[Tensor, Tensor]]:
    """Loss and logits of a network of transformers'."""
    mask = batch["input_mask"].long() if "input_mask" in batch else None

    def answer() -> tuple[Tensor, Tensor]:
        result = model(input_ids=batch["inputs"], attention_mask=mask, decoder_input_ids=batch["decoder_inputs"],
                       labels=batch["targets"], use_cache=False)  # fmt: skip
        return result.loss, result.logits

    return answer


def our_training(network: Callable[..., Seq2Seq], shape: Shape, dropout: float, padded: bool) -> Act:
    """A training step."""
    model = network(shape, dropout).train()
    return training_step(model, mean_loss(model, batch_of(shape, padded=padded)))


def their_training(peer: Callable[..., nn.Module], shape: Shape, dropout: float, padded: bool) -> Act:
    """A training step of theirs."""
    model = peer(shape, dropout).train()
    answer = their_answer(model, batch_of(shape, padded=padded))
    return training_step(model, lambda: answer()[0])


def our_evaluation(network: Callable[..., Seq2Seq], shape: Shape, padded: bool) -> Act:
    """Loss and accuracy of one batch."""
    return evaluation(network(shape, 0.0), batch_of(shape, padded=padded))


def peer_evaluation(peer: Callable[..., nn.Module], shape: Shape, padded: bool) -> Act:
    """The same of theirs."""
    model, batch = peer(shape, 0.0), batch_of(shape, padded=padded)
    return their_evaluation(model, their_answer(model, batch), batch["targets"])


def our_greedy(network: Callable[..., Seq2Seq], shape: Shape) -> Act:
    """Texts of NEW tokens, cached."""
    model, batch = network(shape, 0.0).eval(), batch_of(shape, padded=False)
    start = shape.vocab_size - 1
    return lambda: decode_sources(model, batch["inputs"], start_token=start, stop_token=None, max_length=NEW)


def their_greedy(peer: Callable[..., nn.Module], shape: Shape) -> Act:
    """Texts of NEW tokens by transformers' `generate`, cached."""
    model, batch = peer(shape, 0.0).eval(), batch_of(shape, padded=False)
    model.generation_config.eos_token_id = None
    mask = torch.ones_like(batch["inputs"])

    @torch.inference_mode()
    def act() -> Tensor:
        made = model.generate(batch["inputs"], attention_mask=mask, max_new_tokens=NEW, do_sample=False)
        assert made.shape[1] == 1 + NEW
        return made

    return act
