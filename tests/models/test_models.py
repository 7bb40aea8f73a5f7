"""What every network must do, over the options of every kind. A new kind adds rows to VARIANTS and passes the rest."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import MODEL_CONFIGS, GPTConfig, ModelConfig
from lit_transformer.models import MODELS, build_model
from lit_transformer.nn.losses import cross_entropy

TIME, VOCAB = 12, 29
GPT = GPTConfig(num_layers=2, num_heads=4, d_model=16, context_length=TIME, vocab_size=VOCAB, init_std=0.2)
VARIANTS: dict[str, ModelConfig] = {
    "gpt": GPT,
    "gpt-gqa": replace(GPT, num_kv_heads=2),
    "gpt-mqa-rope": replace(GPT, num_kv_heads=1, positions="rope"),
    "gpt-sinusoidal": replace(GPT, positions="sinusoidal"),
    "gpt-llama": replace(
        GPT, positions="rope", norm="rms_norm", activation="swiglu", bias=False, tie_embeddings=False, d_ff=24
    ),
    "gpt-post-norm": replace(GPT, norm_position="post", activation="relu"),
    **{f"gpt-{name}": replace(GPT, activation=name) for name in ("gelu", "tanh", "sigmoid", "silu", "reglu", "geglu")},
}
CAUSAL = [name for name, config in VARIANTS.items() if config.kind == "gpt"]


@pytest.fixture
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build_model(VARIANTS[request.param])


def run(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    logits = model(ids)
    assert isinstance(logits, torch.Tensor)
    return logits


def test_every_kind_has_variants_and_a_network() -> None:
    assert {config.kind for config in VARIANTS.values()} == set(MODEL_CONFIGS)
    assert set(MODELS) == set(MODEL_CONFIGS.values())


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_shape_type_and_finite_gradients_of_every_parameter(model: nn.Module) -> None:
    ids = torch.randint(VOCAB, (3, TIME))
    logits = run(model, ids)
    assert logits.shape == (3, TIME, VOCAB) and logits.dtype == torch.float32
    total, count = cross_entropy(logits, ids.roll(-1, 1))
    (total / count).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"{name} takes no part"


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_a_row_alone_equals_the_row_in_a_batch(model: nn.Module) -> None:
    ids = torch.randint(VOCAB, (4, TIME))
    together = run(model, ids)
    torch.testing.assert_close(run(model, ids[2:3]), together[2:3], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_positions_matter(model: nn.Module) -> None:
    ids = torch.randint(1, VOCAB, (1, TIME))
    swapped = ids.clone()
    swapped[0, 0], swapped[0, 1] = 0, ids[0, 0]
    ids[0, 1] = 0  # the same tokens, the first two in the other order
    assert not torch.allclose(run(model, ids)[:, -1], run(model, swapped)[:, -1], atol=1e-5)


@pytest.mark.parametrize("model", CAUSAL, indirect=True)
def test_a_later_token_changes_no_earlier_logit(model: nn.Module) -> None:
    ids = torch.randint(VOCAB, (2, TIME))
    before = run(model, ids)
    for position in range(TIME):
        changed = ids.clone()
        changed[:, position] = (changed[:, position] + 1) % VOCAB
        after = run(model, changed)
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, position], before[:, position], atol=1e-4)


@pytest.mark.parametrize("model", CAUSAL, indirect=True)
@pytest.mark.parametrize("steps", [[1] * TIME, [5, 1, 6], [TIME]])
def test_cached_logits_equal_logits_at_once(model: nn.Module, steps: list[int]) -> None:
    ids, cache = torch.randint(VOCAB, (2, TIME)), model.new_cache()
    parts = [model(part, cache=cache) for part in ids.split(steps, dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), run(model, ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_loss_equals_cross_entropy_of_the_logits(model: nn.Module) -> None:
    ids = torch.randint(VOCAB, (2, TIME))
    targets = ids.roll(-1, 1)
    targets[:, -1] = -100
    total, count = model.loss(ids, targets, label_smoothing=0.1)
    expected, expected_count = cross_entropy(run(model, ids), targets, label_smoothing=0.1)
    torch.testing.assert_close(total, expected)
    assert count == expected_count == 2 * (TIME - 1)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_dropout_is_on_in_training_and_off_in_evaluation(model: nn.Module) -> None:
    wet = build_model(replace(model.config, dropout=0.5))
    wet.load_state_dict(model.state_dict())
    ids = torch.randint(VOCAB, (2, TIME))
    assert not torch.allclose(run(wet, ids), run(wet, ids))
    assert torch.equal(run(wet.eval(), ids), run(model.eval(), ids))


@pytest.mark.parametrize("name", VARIANTS)
def test_seed_decides_the_weights(name: str) -> None:
    torch.manual_seed(5)
    first = build_model(VARIANTS[name]).state_dict()
    torch.manual_seed(5)
    second = build_model(VARIANTS[name]).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_parameters_are_counted_on_the_meta_device(model: nn.Module) -> None:
    with torch.device("meta"):
        ghost = build_model(VARIANTS["gpt"] if not hasattr(model, "config") else model.config)
    assert ghost.num_parameters() == model.num_parameters() == sum(p.numel() for p in set(model.parameters()))
    assert ghost(torch.zeros(2, TIME, dtype=torch.int64, device="meta")).shape == (2, TIME, VOCAB)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_bfloat16_weights(model: nn.Module) -> None:
    ids = torch.randint(VOCAB, (2, TIME))
    expected = run(model, ids)
    half = copy.deepcopy(model).to(torch.bfloat16)
    assert run(half, ids).dtype == torch.bfloat16
    total, _ = half.loss(ids, ids)
    total.backward()
    error = (run(half, ids).float() - expected).std() / expected.std()
    assert error < 0.05


@pytest.mark.parametrize("name", ["gpt", "gpt-llama"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_compiles_whole_with_the_same_gradients(name: str, dropout: float) -> None:
    torch.manual_seed(0)
    model = build_model(replace(VARIANTS[name], dropout=dropout))
    ids = torch.randint(VOCAB, (2, TIME))
    results = []
    for loss in (model.loss, torch.compile(model.loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(1)
        model.zero_grad()
        total, _ = loss(ids, ids)
        total.backward()
        results.append([total, *(parameter.grad for parameter in model.parameters())])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)


def test_tied_embeddings_share_their_weights() -> None:
    tied, free = build_model(GPT), build_model(replace(GPT, tie_embeddings=False))
    assert free.num_parameters() - tied.num_parameters() == VOCAB * 16
    assert tied.output_weight is tied.token_embedding.weight
    assert free.output_weight is not free.token_embedding.weight


def test_vocabulary_must_be_known() -> None:
    with pytest.raises(UserError, match=r"model\.vocab_size"):
        build_model(replace(GPT, vocab_size=None))


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.kind.*allowed: gpt"):
        build_model(ModelConfig())
