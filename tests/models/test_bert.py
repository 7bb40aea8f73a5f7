"""BERT beyond parity: padding, its optional parts, where its output layer works, sums over rows, compilation."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lit_transformer.config.models import BertConfig
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.bert import Bert
from lit_transformer.models.flops import training_cost
from lit_transformer.nn.recompute import recompute_blocks

TIME, VOCAB = 12, 29
CONFIG = BertConfig(num_layers=2, num_heads=4, d_model=16, context_length=TIME, vocab_size=VOCAB, init_std=0.2)
OPTIONS = [
    pytest.param(CONFIG, id="default"),
    pytest.param(replace(CONFIG, positions="rope", norm_position="pre", norm="rms_norm", bias=False), id="modern"),
    pytest.param(replace(CONFIG, positions="sinusoidal", activation="geglu", tie_embeddings=False), id="gated"),
]


def build(config: BertConfig, **parts: bool) -> Bert:
    torch.manual_seed(0)
    return Bert(config, **parts)


def pre_training_batch(rows: int = 4) -> dict[str, Tensor]:
    """Rows of different lengths with 1 to 4 targets each."""
    torch.manual_seed(1)
    lengths, counts = torch.randint(6, TIME + 1, (rows, 1)), torch.arange(rows)[:, None] % 4 + 1
    return {
        "inputs": torch.randint(VOCAB, (rows, TIME)),
        "input_mask": torch.arange(TIME) < lengths,
        "token_types": (torch.arange(TIME) >= lengths // 2).long(),
        "targets": torch.randint(VOCAB, (rows, 4)).masked_fill(torch.arange(4) >= counts, -100),
        "target_positions": torch.randint(6, (rows, 4)).masked_fill(torch.arange(4) >= counts, 0),
        "next_sentence": torch.arange(rows) % 2,
    }


@pytest.mark.parametrize("config", OPTIONS)
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_nothing(config: BertConfig, training: bool) -> None:
    model = build(config).train(training)
    ids = torch.randint(VOCAB, (2, 7))
    mask = torch.arange(TIME).expand(2, TIME) < 7
    for filling in (0, 5):
        padded = torch.full((2, TIME), filling)
        padded[:, :7] = ids
        torch.testing.assert_close(model(padded, input_mask=mask)[:, :7], model(ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", OPTIONS)
def test_a_row_of_padding_alone_is_harmless(config: BertConfig) -> None:
    model, batch = build(config, next_sentence=True), pre_training_batch()
    batch["input_mask"][1], batch["targets"][1], batch["next_sentence"][1] = False, -100, -100
    total, count = model.loss(**batch)
    total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
    kept = torch.tensor([0, 2, 3])
    expected, expected_count = model.loss(**{name: value[kept] for name, value in batch.items()})
    torch.testing.assert_close(total, expected)
    assert count == expected_count


def test_every_token_sees_every_other() -> None:
    model = build(CONFIG)
    ids = torch.randint(VOCAB, (1, TIME))
    before = model(ids)
    for place in range(TIME):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 1) % VOCAB
        assert ((model(changed) - before).abs().amax(dim=-1) > 1e-4).all()


def test_token_types_matter_and_default_to_the_first() -> None:
    model = build(CONFIG)
    ids, types = torch.randint(VOCAB, (2, TIME)), torch.zeros(2, TIME, dtype=torch.long)
    torch.testing.assert_close(model(ids, token_types=types), model(ids), rtol=0, atol=1e-6)
    types[:, 6:] = 1
    assert not torch.allclose(model(ids, token_types=types), model(ids), atol=1e-3)


@pytest.mark.parametrize("config", OPTIONS)
def test_hidden_states_at_targets_are_those_of_all_places(config: BertConfig) -> None:
    model, batch = build(config), pre_training_batch()
    how = {name: batch[name] for name in ("input_mask", "token_types")}
    found = model.logits(model.target_hidden(batch["inputs"], target_positions=batch["target_positions"], **how))
    whole = model(batch["inputs"], **how)
    places = batch["target_positions"][..., None].expand(-1, -1, VOCAB)
    torch.testing.assert_close(found, whole.gather(1, places), rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", OPTIONS)
@pytest.mark.parametrize("next_sentence", [True, False])
def test_every_parameter_takes_part(config: BertConfig, next_sentence: bool) -> None:
    model, batch = build(config, next_sentence=next_sentence), pre_training_batch()
    if not next_sentence:
        del batch["next_sentence"]
    model.loss(**batch)[0].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"{name} takes no part"


def test_parts_exist_where_they_are_asked_for() -> None:
    names = {name.split(".")[0] for name in build(CONFIG).state_dict()}
    assert "lm_head" in names and not names & {"pooler", "next_sentence_head"}
    body = build(CONFIG, lm_head=False, pooler=True)
    assert "pooler" in dict(body.named_modules()) and body.lm_head is None
    with pytest.raises(ValueError, match="no masked-LM head"):
        body(torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="no next-sentence head"):
        body.next_sentence_logits(torch.zeros(1, 2, dtype=torch.long))
    with pytest.raises(ValueError, match="no pooler"):
        build(CONFIG).pooled(torch.zeros(1, 2, 16))


def test_the_loss_is_a_sum_over_rows() -> None:
    """So that micro-batches and ranks, which split a step's rows, change nothing."""
    model, batch = build(CONFIG, next_sentence=True), pre_training_batch()
    total, count = model.loss(**batch)
    rows = [model.loss(**{name: value[row : row + 1] for name, value in batch.items()}) for row in range(4)]
    torch.testing.assert_close(sum(loss for loss, _ in rows), total, rtol=1e-5, atol=1e-5)
    assert sum(n for _, n in rows) == count == 1 + 2 + 3 + 4


def test_an_untrained_network_guesses() -> None:
    model, batch = build(replace(CONFIG, init_std=0.001), next_sentence=True), pre_training_batch()
    total, count = model.loss(**batch)
    assert (total / count).item() == pytest.approx(math.log(VOCAB) + math.log(2), abs=0.01)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("how", ["compiled", "recomputed"])
def test_the_same_gradients_compiled_or_recomputed(dropout: float, how: str) -> None:
    model, batch = build(replace(CONFIG, dropout=dropout), next_sentence=True), pre_training_batch()
    results = []
    for changed in (False, True):
        loss = model.loss
        if changed and how == "compiled":
            torch.compiler.reset()  # all networks share one `loss`, which is compiled a few times at most
            loss = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
        elif changed:
            assert recompute_blocks(model) == 2
        torch.manual_seed(1)
        model.zero_grad()
        total, _ = loss(**batch)
        total.backward()
        results.append([total.detach(), *(parameter.grad for parameter in model.parameters())])
    for plain, other in zip(*results, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-5)


def test_autocast_is_close_to_float32() -> None:
    model, batch = build(CONFIG, next_sentence=True), pre_training_batch()
    exact, _ = model.loss(**batch)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = model.loss(**batch)
    total.backward()
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=0.02)
    assert all(parameter.grad is not None and parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def test_flops_count_the_output_layer_at_targets_alone() -> None:
    config = BertConfig(num_layers=1, num_heads=2, d_model=32, context_length=40, vocab_size=1000)
    for rate, targets in ((0.15, 6), (0.3, 12)):
        small, large = (
            training_cost(replace(config, vocab_size=size), objective=ObjectiveConfig(mask_rate=rate))
            for size in (1000, 2000)
        )
        per_token = 3 * 2 * 32 * 1000 * targets / 40  # forward and two backward products at 6 or 12 of 40 places
        assert large.flops_per_token - small.flops_per_token == pytest.approx(per_token, abs=1)
