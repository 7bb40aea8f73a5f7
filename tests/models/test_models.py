"""What every network must do, over the options of every kind. A new kind adds rows to VARIANTS and passes the rest."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import (
    MODEL_CONFIGS,
    BertConfig,
    EncoderDecoderConfig,
    GLMConfig,
    GPTConfig,
    ModelConfig,
    T5Config,
)
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models import MODELS, build_model
from lit_transformer.nn.losses import cross_entropy

TIME, VOCAB = 12, 29
GPT = GPTConfig(num_layers=2, num_heads=4, d_model=16, context_length=TIME, vocab_size=VOCAB, init_std=0.2)
SMALL = {"num_layers": 2, "num_heads": 4, "d_model": 16, "context_length": TIME, "vocab_size": VOCAB, "dropout": 0.0}
BERT, GLM = BertConfig(**SMALL, init_std=0.2), GLMConfig(**SMALL, init_std=0.2)
SEQ2SEQ, RELATIVE = EncoderDecoderConfig(**SMALL), T5Config(**SMALL, relative_buckets=16, relative_max_distance=16)
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
    "bert": BERT,
    "bert-modern": replace(
        BERT,
        positions="rope",
        norm="rms_norm",
        norm_position="pre",
        activation="swiglu",
        bias=False,
        tie_embeddings=False,
        token_types=1,
    ),
    "bert-sinusoidal": replace(BERT, positions="sinusoidal", activation="relu", d_ff=24),
    "glm": GLM,
    "glm-other": replace(GLM, norm_position="post", activation="geglu", tie_embeddings=False, d_ff=24),
    "encoder_decoder": SEQ2SEQ,
    "encoder_decoder-pre-norm": replace(SEQ2SEQ, norm_position="pre", num_encoder_layers=3, num_decoder_layers=1),
    "encoder_decoder-learned": replace(SEQ2SEQ, positions="learned", share_embeddings=False, scale_embeddings=False),
    "encoder_decoder-llama": replace(
        SEQ2SEQ,
        positions="rope",
        norm="rms_norm",
        norm_position="pre",
        activation="swiglu",
        bias=False,
        tie_embeddings=False,
    ),
    "t5": RELATIVE,
    "t5-v1.1": replace(RELATIVE, activation="geglu_tanh", tie_embeddings=False, head_dim=6, d_ff=24),
    "t5-other": replace(RELATIVE, norm="layer_norm", norm_position="post", bias=True, num_decoder_layers=1),
}
CAUSAL_SIDE = {"gpt": "inputs", "glm": "inputs", "encoder_decoder": "decoder_inputs", "t5": "decoder_inputs"}
"""Kind of a network that generates from left to right -> the ids in its batch where no place sees a later one."""
CAUSAL = [name for name, config in VARIANTS.items() if config.kind in CAUSAL_SIDE]

Batch = dict[str, torch.Tensor]


@pytest.fixture
def model(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build_model(VARIANTS[request.param])


def random_batch(model: nn.Module, rows: int = 3) -> Batch:
    """A training batch as `loss` takes it, with a target at every place."""
    keys = [key for key in ("inputs", "decoder_inputs", "targets") if key in model.dummy_batch(ObjectiveConfig())]
    return {key: torch.randint(VOCAB, (rows, TIME)) for key in keys}


def run(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Logits at every position of the side that has targets."""
    rest = {key: value for key, value in batch.items() if key not in ("inputs", "targets")}
    logits = model(batch["inputs"], **rest)
    assert isinstance(logits, torch.Tensor)
    return logits


def run_in_parts(model: nn.Module, batch: Batch, steps: list[int]) -> torch.Tensor:
    """The same logits, some tokens of the causal side at a time, through a cache."""
    cache = model.new_cache()
    parts = batch[CAUSAL_SIDE[model.config.kind]].split(steps, dim=1)
    if CAUSAL_SIDE[model.config.kind] == "inputs":
        return torch.cat([model(part, cache=cache) for part in parts], dim=1)
    memory = model.encode(batch["inputs"])
    return torch.cat([model.logits(model.decode(part, memory, cache=cache)) for part in parts], dim=1)


def ids_of(batch: Batch) -> list[str]:
    """Keys of the token ids that a batch gives to the network."""
    return [key for key in ("inputs", "decoder_inputs") if key in batch]


def test_every_kind_has_variants_and_a_network() -> None:
    assert {config.kind for config in VARIANTS.values()} == set(MODEL_CONFIGS)
    assert set(MODELS) == set(MODEL_CONFIGS.values())


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_shape_type_and_finite_gradients_of_every_parameter(model: nn.Module) -> None:
    batch = random_batch(model)
    logits = run(model, batch)
    assert logits.shape == (3, TIME, VOCAB) and logits.dtype == torch.float32
    total, count = cross_entropy(logits, batch["targets"])
    (total / count).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"{name} takes no part"


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_a_row_alone_equals_the_row_in_a_batch(model: nn.Module) -> None:
    batch = random_batch(model, rows=4)
    alone = {key: value[2:3] for key, value in batch.items()}
    torch.testing.assert_close(run(model, alone), run(model, batch)[2:3], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_positions_matter(model: nn.Module) -> None:
    batch = random_batch(model, rows=1)
    for key in ids_of(batch):
        batch[key][0, :2] = torch.tensor([3, 4])
        order = torch.tensor([1, 0, *range(2, TIME)])  # the first two in the other order
        swapped = batch | {key: batch[key][:, order]}
        assert not torch.allclose(run(model, batch)[:, -1], run(model, swapped)[:, -1], atol=1e-5), key


@pytest.mark.parametrize("model", CAUSAL, indirect=True)
def test_a_later_token_changes_no_earlier_logit(model: nn.Module) -> None:
    batch = random_batch(model, rows=2)
    before, key = run(model, batch), CAUSAL_SIDE[model.config.kind]
    for position in range(TIME):
        changed = batch[key].clone()
        changed[:, position] = (changed[:, position] + 1) % VOCAB
        after = run(model, batch | {key: changed})
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, position], before[:, position], atol=1e-4)


@pytest.mark.parametrize("model", CAUSAL, indirect=True)
@pytest.mark.parametrize("steps", [[1] * TIME, [5, 1, 6], [TIME]])
def test_cached_logits_equal_logits_at_once(model: nn.Module, steps: list[int]) -> None:
    batch = random_batch(model, rows=2)
    torch.testing.assert_close(run_in_parts(model, batch, steps), run(model, batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_loss_equals_cross_entropy_of_the_logits(model: nn.Module) -> None:
    batch = random_batch(model, rows=2)
    batch["targets"][:, -1] = -100
    total, count = model.loss(**batch, label_smoothing=0.1)
    expected, expected_count = cross_entropy(run(model, batch), batch["targets"], label_smoothing=0.1)
    torch.testing.assert_close(total, expected)
    assert count == expected_count == 2 * (TIME - 1)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_dropout_is_on_in_training_and_off_in_evaluation(model: nn.Module) -> None:
    wet = build_model(replace(model.config, dropout=0.5))
    wet.load_state_dict(model.state_dict())
    batch = random_batch(model, rows=2)
    assert not torch.allclose(run(wet, batch), run(wet, batch))
    assert torch.equal(run(wet.eval(), batch), run(model.eval(), batch))


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
        ghost = build_model(model.config)
        batch = random_batch(ghost, rows=2)
    assert ghost.num_parameters() == model.num_parameters() == sum(p.numel() for p in set(model.parameters()))
    assert run(ghost, batch).shape == (2, TIME, VOCAB)


@pytest.mark.parametrize("model", VARIANTS, indirect=True)
def test_bfloat16_weights(model: nn.Module) -> None:
    batch = random_batch(model, rows=2)
    expected = run(model, batch)
    half = copy.deepcopy(model).to(torch.bfloat16)
    assert run(half, batch).dtype == torch.bfloat16
    total, _ = half.loss(**batch)
    total.backward()
    error = (run(half, batch).float() - expected).std() / expected.std()
    assert error < 0.05


@pytest.mark.parametrize("name", ["gpt", "gpt-llama", "encoder_decoder", "encoder_decoder-llama", "t5", "t5-v1.1"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_compiles_whole_with_the_same_gradients(name: str, dropout: float) -> None:
    torch.compiler.reset()  # all networks share one `loss`, which is compiled a few times at most
    torch.manual_seed(0)
    model = build_model(replace(VARIANTS[name], dropout=dropout))
    batch = random_batch(model, rows=2)
    results = []
    for loss in (model.loss, torch.compile(model.loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(1)
        model.zero_grad()
        total, _ = loss(**batch)
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
    with pytest.raises(UserError, match=r"model\.kind.*allowed: bert, .*gpt"):
        build_model(ModelConfig())
