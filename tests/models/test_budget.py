"""Networks of equal size: what is solved is what is built."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import (
    BertConfig,
    EncoderDecoderConfig,
    GLMConfig,
    GPTConfig,
    SegmenterConfig,
    T5Config,
    TransformerConfig,
)
from lit_transformer.config.schema import ObjectiveConfig
from lit_transformer.models.budget import _size, polynomial, solve_width, unit_of
from lit_transformer.models.flops import training_cost
from lit_transformer.models.for_task import network_for

CONFIG = SegmenterConfig(base_channels=16, num_stages=2, num_classes=4, convs_per_stage=1)
PIXELS = ObjectiveConfig(name="pixels")
KINDS: dict[type[TransformerConfig], list[tuple[str, ObjectiveConfig]]] = {
    GPTConfig: [
        ("language_model", ObjectiveConfig(name="causal_lm")),
        ("classification", ObjectiveConfig(name="label")),
        ("multiple_choice", ObjectiveConfig(name="label", lm_weight=0.0)),
    ],
    BertConfig: [
        ("language_model", ObjectiveConfig(name="masked_lm")),
        ("language_model", ObjectiveConfig(name="masked_lm", next_sentence=True)),
        ("classification", ObjectiveConfig(name="label")),
    ],
    T5Config: [("language_model", ObjectiveConfig(name="span_corruption"))],
    GLMConfig: [("language_model", ObjectiveConfig(name="blank_infilling"))],
    EncoderDecoderConfig: [("translation", ObjectiveConfig(name="translation"))],
}
"""Kind -> tasks and objectives, which decide the heads."""


def shapes(owner: type[TransformerConfig], count: int, seed: int) -> Iterator[TransformerConfig]:
    """Random networks of a kind, in every setting that has to do with their size."""
    pick = random.Random(f"{owner.kind} {seed}")
    for _ in range(count):
        heads = pick.choice([1, 2, 3, 4, 6, 8])
        settings: dict[str, Any] = {
            "num_heads": heads,
            "num_layers": pick.randint(1, 3),
            "vocab_size": pick.randint(50, 3000),
            "context_length": pick.choice([16, 40, 64]),
            "activation": pick.choice(["relu", "gelu", "swiglu", "geglu"]),
            "norm": pick.choice(["layer_norm", "rms_norm"]),
            "norm_position": pick.choice(["pre", "post"]),
            "bias": pick.random() < 0.5,
            "tie_embeddings": pick.random() < 0.5,
        }
        if owner in (GPTConfig, BertConfig, EncoderDecoderConfig):
            settings["positions"] = pick.choice(["learned", "sinusoidal", "rope"])
        if owner is GPTConfig:
            settings["num_kv_heads"] = pick.choice([k for k in range(1, heads + 1) if heads % k == 0])
        if owner is T5Config:
            settings["head_dim"] = pick.choice([None, 8, 24])
        if owner in (T5Config, EncoderDecoderConfig):
            settings["num_encoder_layers"] = pick.choice([None, 1, 2])
            settings["num_decoder_layers"] = pick.choice([None, 1, 2])
        if owner is EncoderDecoderConfig:
            settings["share_embeddings"] = pick.random() < 0.5
        yield owner(**settings)


def built(model: Any, task: str, objective: ObjectiveConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in network_for(model, task, objective).parameters())


def assert_polynomial(owner: type[TransformerConfig], measure: Any, count: int, seed: int) -> None:
    pick = random.Random(seed)
    for model in shapes(owner, count, seed):
        task, objective = pick.choice(KINDS[owner])
        unit = unit_of(model)

        def size(d_model: int, d_ff: int, model: Any = model, task: str = task, objective: Any = objective) -> Any:
            return _size(replace(model, d_model=d_model, d_ff=d_ff), task, objective, measure)

        counted = polynomial(size, unit)
        d_model, d_ff = unit * pick.randint(4, 9), pick.randint(20, 2000)
        assert counted(d_model, d_ff) == float(size(d_model, d_ff)), (model, task, d_model, d_ff)


by_kind = pytest.mark.parametrize("owner", KINDS, ids=lambda owner: owner.kind)


@by_kind
def test_five_networks_give_the_parameters_of_every_other(owner) -> None:
    assert_polynomial(owner, "parameters", count=4, seed=0)


@by_kind
def test_five_networks_give_the_flops_of_every_other(owner) -> None:
    assert_polynomial(owner, "flops_per_token", count=1, seed=0)


@pytest.mark.slow
@pytest.mark.long
@by_kind
def test_so_they_do_of_many_shapes(owner) -> None:
    assert_polynomial(owner, "parameters", count=100, seed=1)
    assert_polynomial(owner, "flops_per_token", count=20, seed=1)


def assert_solved(owner: type[TransformerConfig], measure: Any, budget: int, heads: int, layers: int) -> None:
    task, objective = KINDS[owner][0]
    model = owner(num_heads=heads, num_layers=layers, vocab_size=500, context_length=32)
    solved = solve_width(model, task, objective, measure, budget)
    assert isinstance(solved, TransformerConfig) and solved.d_ff is not None
    real = built(solved, task, objective)
    if measure == "flops_per_token":
        real = training_cost(solved, task, objective).flops_per_token
    assert abs(real - budget) <= 0.02 * budget, (solved.d_model, solved.d_ff, real)
    assert solved.d_model % heads == solved.d_model % 8 == solved.d_ff % 8 == 0
    assert 3 * solved.d_model <= solved.d_ff <= 5 * solved.d_model
    assert replace(solved, d_model=model.d_model, d_ff=model.d_ff) == model, "nothing else has changed"


@by_kind
def test_every_cell_of_a_grid_has_the_same_parameters(owner) -> None:
    for heads, layers in itertools.product((1, 3, 4), (1, 4)):
        assert_solved(owner, "parameters", 3_000_000, heads, layers)


@by_kind
def test_and_the_same_flops(owner) -> None:
    assert_solved(owner, "flops_per_token", 4_000_000, 4, 2)


@pytest.mark.slow
@pytest.mark.long
@by_kind
def test_large_grids_too(owner) -> None:
    for heads, layers in itertools.product((1, 2, 4, 6, 8), (1, 2, 3, 6)):
        assert_solved(owner, "parameters", 6_000_000, heads, layers)
    for heads, layers in itertools.product((2, 6), (1, 3)):
        assert_solved(owner, "flops_per_token", 10_000_000, heads, layers)


def test_the_usual_proportion_is_preferred_and_earlier_widths_do_not_count() -> None:
    model = GPTConfig(num_heads=2, num_layers=2, vocab_size=500, context_length=32, d_model=999, d_ff=1)
    wanted = replace(model, d_model=96, d_ff=384)
    budget = built(wanted, "language_model", ObjectiveConfig())
    assert solve_width(model, "language_model", ObjectiveConfig(), "parameters", budget) == wanted


@pytest.mark.parametrize("budget", [3000, 100_000])
def test_what_cannot_be_met_says_the_nearest_sizes(budget: int) -> None:
    model = GPTConfig(num_heads=32, num_layers=4, vocab_size=100, context_length=16)
    every = {
        (d, f): built(replace(model, d_model=d, d_ff=f), "language_model", ObjectiveConfig())
        for d in (32, 64)
        for f in range(3 * d, 5 * d + 1, 32)
    }
    below = max((item for item in every.items() if item[1] < budget), key=lambda item: item[1], default=None)
    above = min((item for item in every.items() if item[1] > budget), key=lambda item: item[1])
    with pytest.raises(UserError) as error:
        solve_width(model, "language_model", ObjectiveConfig(), "parameters", budget)
    said = str(error.value)
    assert f"got      {budget:,} with num_heads 32, num_layers 4, vocab_size 100" in said
    for item in (below, above):
        if item is not None:
            (d_model, d_ff), size = item
            assert f"{size:,} (d_model {d_model}, d_ff {d_ff})" in said


def cost(config: SegmenterConfig) -> int:
    return training_cost(config, "segmentation").flops_per_token


def of_cost(config: SegmenterConfig, flops_per_pixel: int) -> SegmenterConfig:
    """The settings with the base_channels that are solved for this cost."""
    return cast(SegmenterConfig, solve_width(config, "segmentation", PIXELS, "flops_per_token", flops_per_pixel))


@pytest.mark.parametrize("base_channels", [1, 2, 3, 17, 32])
def test_its_own_cost_gives_its_own_width(base_channels: int) -> None:
    config = replace(CONFIG, base_channels=base_channels)
    assert of_cost(CONFIG, cost(config)) == config


@pytest.mark.parametrize(
    ("upsampling", "skip"), itertools.product(("bilinear", "transposed", "pixel_shuffle"), ("none", "concat", "add"))
)
def test_of_all_widths_the_nearest_is_solved(upsampling, skip) -> None:
    model = replace(CONFIG, upsampling=upsampling, skip=skip)
    target = int(cost(replace(model, base_channels=24)) * 1.01)
    solved = of_cost(model, target)
    assert (solved.upsampling, solved.skip) == (upsampling, skip)
    distances = {
        width: abs(cost(replace(solved, base_channels=width)) - target)
        for width in range(solved.base_channels - 2, solved.base_channels + 3)
    }
    assert min(distances, key=lambda width: distances[width]) == solved.base_channels
    assert distances[solved.base_channels] < 0.02 * target


def test_less_than_one_channel_costs_is_refused_with_the_narrowest() -> None:
    with pytest.raises(UserError, match=r"the nearest sizes, .*\(base_channels 1\)"):
        of_cost(CONFIG, 1)


def test_a_segmenters_budget_is_met_or_refused_with_the_widths_around_it() -> None:
    widths = (20, 21)
    sizes = [built(replace(CONFIG, base_channels=width), "segmentation", PIXELS) for width in widths]
    for width, size in zip(widths, sizes, strict=True):
        found = solve_width(CONFIG, "segmentation", PIXELS, "parameters", int(size * 1.015))
        assert found == replace(CONFIG, base_channels=width)
    with pytest.raises(UserError) as error:
        solve_width(CONFIG, "segmentation", PIXELS, "parameters", sum(sizes) // 2)
    for width, size in zip(widths, sizes, strict=True):
        assert f"{size:,} (base_channels {width})" in str(error.value)
