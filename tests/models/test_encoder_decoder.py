"""What encoder-decoders must do beyond other networks: padding, memory, caches, options of either side."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import EncoderDecoderConfig, T5Config
from lit_transformer.models import build_model
from lit_transformer.models.flops import training_cost
from lit_transformer.models.seq2seq import Seq2Seq
from lit_transformer.nn.recompute import recompute_blocks

TIME, VOCAB, WIDTH, HEADS, INNER = 12, 29, 16, 4, 24
SIZES: dict[str, Any] = {"num_layers": 2, "num_heads": HEADS, "d_model": WIDTH, "d_ff": INNER, "vocab_size": VOCAB}
PAPER = EncoderDecoderConfig(**SIZES, context_length=TIME, dropout=0.0)
RELATIVE = T5Config(**SIZES, context_length=TIME)
CONFIGS = {
    "paper": PAPER,
    "pre-norm": replace(PAPER, norm_position="pre"),
    "learned": replace(PAPER, positions="learned", share_embeddings=False),
    "rope": replace(PAPER, positions="rope"),
    "t5": RELATIVE,
    "t5-v1.1": replace(RELATIVE, activation="geglu_tanh", tie_embeddings=False, head_dim=6),
}


def build(name: str, **options: Any) -> Seq2Seq:
    torch.manual_seed(0)
    model = build_model(replace(CONFIGS[name], **options))
    assert isinstance(model, Seq2Seq)
    return model


def make_batch(rows: int = 3, seed: int = 1) -> dict[str, Tensor]:
    """Rows of different lengths on both sides, the first one full."""
    torch.manual_seed(seed)
    lengths = torch.tensor([TIME, 5, 8, 1])[:rows, None]
    places = torch.arange(TIME)
    return {
        "inputs": torch.randint(VOCAB, (rows, TIME)),
        "input_mask": places < lengths,
        "decoder_inputs": torch.randint(VOCAB, (rows, TIME)),
        "targets": torch.randint(VOCAB, (rows, TIME)).where(places < lengths.flip(0), -100),
    }


def gradients(model: Seq2Seq, batch: dict[str, Tensor]) -> list[Tensor]:
    model.zero_grad()
    model.loss(**batch)[0].backward()
    return [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_padded_row_equals_the_row_without_padding(name: str) -> None:
    model, batch = build(name), make_batch()
    together = model(batch["inputs"], batch["decoder_inputs"], input_mask=batch["input_mask"])
    for row, length in enumerate(batch["input_mask"].sum(1).tolist()):
        alone = model(batch["inputs"][row : row + 1, :length], batch["decoder_inputs"][row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_stands_in_the_padding_takes_no_part(name: str) -> None:
    model, batch = build(name), make_batch()
    inputs = batch["inputs"].where(batch["input_mask"], (batch["inputs"] + 1) % VOCAB)
    decoder_inputs = batch["decoder_inputs"].where(batch["targets"] != -100, 0)
    before = gradients(model, batch)
    for ours, theirs in zip(before, gradients(model, batch | {"inputs": inputs}), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    before_loss, _ = model.loss(**batch)
    torch.testing.assert_close(model.loss(**(batch | {"decoder_inputs": decoder_inputs}))[0], before_loss)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_row_that_holds_nothing_changes_nothing(name: str, dropout: float) -> None:
    """Rows that fill up a last batch have neither tokens nor targets."""
    model, batch = build(name, dropout=dropout), make_batch()
    batch["input_mask"][1], batch["targets"][1] = False, -100
    assert all(gradient.isfinite().all() for gradient in gradients(model, batch))
    rest = {key: value[[0, 2]] for key, value in batch.items()}
    for ours, theirs in zip(gradients(model.eval(), batch), gradients(model, rest), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("steps", [[1] * TIME, [5, 1, 6], [TIME]])
def test_cached_decoding_of_padded_rows(name: str, steps: list[int]) -> None:
    model, batch = build(name).eval(), make_batch()
    mask = batch["input_mask"]
    memory, cache = model.encode(batch["inputs"], input_mask=mask), model.new_cache()
    parts = []
    for part in batch["decoder_inputs"].split(steps, dim=1):
        parts.append(model.decode(part, memory, memory_mask=mask, cache=cache))
        memory = torch.zeros_like(memory)  # the first call has read it
    assert cache.length == TIME
    expected = model(batch["inputs"], batch["decoder_inputs"], input_mask=mask)
    torch.testing.assert_close(model.logits(torch.cat(parts, dim=1)), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["paper", "t5"])
@torch.no_grad()
def test_a_cache_takes_other_rows_and_another_source(name: str) -> None:
    model, batch, cache = build(name).eval(), make_batch(), build(name).new_cache()
    memory = model.encode(batch["inputs"])
    model.decode(batch["decoder_inputs"][:, :4], memory, cache=cache)
    rows = torch.tensor([2, 2, 0, 1])
    cache.reorder(rows)
    ids = batch["decoder_inputs"][rows]
    expected = model.decode(ids, memory[rows])
    torch.testing.assert_close(
        model.decode(ids[:, 4:6], memory[rows], cache=cache), expected[:, 4:6], rtol=0, atol=1e-5
    )
    cache.reset()
    other = model.encode(make_batch(rows=4, seed=2)["inputs"])
    torch.testing.assert_close(model.decode(ids, other, cache=cache), model.decode(ids, other), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_between_source_and_target_there_is_no_distance(name: str) -> None:
    model, batch = build(name).eval(), make_batch()
    memory = model.encode(batch["inputs"])
    ids, order = batch["decoder_inputs"], torch.randperm(TIME)
    torch.testing.assert_close(model.decode(ids, memory[:, order]), model.decode(ids, memory), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "learned"])
def test_positions_without_a_table_go_beyond_the_context(name: str) -> None:
    model = build(name)
    long = torch.randint(VOCAB, (1, TIME + 3))
    assert model(long, long).shape == (1, TIME + 3, VOCAB)


def test_learned_positions_end_with_the_context() -> None:
    model = build("learned")
    short, long = torch.zeros(1, TIME, dtype=torch.long), torch.zeros(1, TIME + 1, dtype=torch.long)
    for arguments in ((long, short), (short, long)):
        with pytest.raises(UserError, match=r"model\.context_length: got a text of 13 tokens\n  allowed  12 tokens"):
            model(*arguments)
    cache, memory = model.new_cache(), model.encode(short)
    model.decode(short, memory, cache=cache)
    with pytest.raises(UserError, match="13 tokens"):
        model.decode(short[:, :1], memory, cache=cache)


def test_layers_of_each_side() -> None:
    uneven = build("paper", num_encoder_layers=3, num_decoder_layers=1)
    assert (len(uneven.encoder_blocks), len(uneven.decoder_blocks)) == (3, 1)
    assert len(build("paper", num_decoder_layers=1).encoder_blocks) == SIZES["num_layers"]


def test_what_shares_weights() -> None:
    embedding = VOCAB * WIDTH
    base = build("paper").num_parameters()
    separate, own_head = build("paper", share_embeddings=False), build("paper", tie_embeddings=False)
    assert separate.num_parameters() == own_head.num_parameters() == base + embedding
    assert separate.output_weight is separate.token_embedding.weight
    ids = torch.randint(VOCAB, (1, 4))
    with torch.no_grad():
        separate.source_embedding.weight += 1
    assert separate.logits(separate.decode(ids, torch.zeros(1, 2, WIDTH))).isfinite().all()
    assert not own_head.head.weight.equal(own_head.token_embedding.weight) and own_head.head.bias is None


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_blocks_have_the_same_gradients(name: str, dropout: float) -> None:
    model, batch = build(name, dropout=dropout), make_batch()
    torch.manual_seed(3)
    before = gradients(model, batch)
    assert recompute_blocks(model) == 4
    torch.manual_seed(3)
    for ours, theirs in zip(gradients(model, batch), before, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(("name", "matrices"), [("paper", 2), ("t5", 2), ("t5-v1.1", 3)])
def test_flops_are_those_of_the_matrices(name: str, matrices: int) -> None:
    width = HEADS * (getattr(CONFIGS[name], "head_dim", None) or WIDTH // HEADS)
    feed_forward, layers = matrices * WIDTH * INNER, SIZES["num_layers"]
    weights = layers * (3 * 4 * WIDTH * width + 2 * feed_forward) + WIDTH * VOCAB  # each works on one side's tokens
    attention = layers * 3 * 2 * TIME * width  # of a token to those of one side
    assert training_cost(CONFIGS[name]).flops_per_token == 3 * 2 * (weights + attention) // 2


@pytest.mark.parametrize("name", ["paper", "t5", "t5-v1.1"])
def test_the_first_loss_is_near_that_of_guessing(name: str) -> None:
    total, count = build(name, vocab_size=2000, d_model=128, d_ff=None).loss(**make_batch())
    assert (total / count).item() == pytest.approx(math.log(2000) + 0.5, abs=1)  # logits of variance 1 add a half
