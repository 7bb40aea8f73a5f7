"""Settings of the segmenter: presets between layers, and every rule about images and losses of pixels."""

import pytest

from lit_transformer.config.errors import ConfigError
from lit_transformer.config.layers import Layer, shell_layer
from lit_transformer.config.load import from_plain, load_layers
from lit_transformer.config.losses import parse_losses
from lit_transformer.config.models import PRESETS, SegmenterConfig
from lit_transformer.config.show import to_plain

SEGMENTER = ["task=segmentation", "model.kind=segmenter"]


def loaded(*layers: list[str]):
    return load_layers([shell_layer([*SEGMENTER, *layers[0]]), *map(shell_layer, layers[1:])])


def problems(*settings: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer([*SEGMENTER, *settings])])
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_a_segmenter_has_its_objective() -> None:
    config = loaded([]).config
    assert isinstance(config.model, SegmenterConfig) and config.objective.name == "pixels"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_in_its_values(name: str) -> None:
    found = loaded([f"model.preset={name}"])
    assert {key: getattr(found.config.model, key) for key in PRESETS[name]} == PRESETS[name]
    assert {found.origins[f"model.{key}"] for key in PRESETS[name]} == {f"preset {name}"}
    assert found.origins["model.in_channels"] == "default"
    assert found.origins["model.preset"] == "command line"
    defaults = SegmenterConfig()
    assert any(getattr(defaults, key) != value for key, value in PRESETS[name].items())


@pytest.mark.parametrize("order", [1, -1])
def test_what_stands_beside_a_preset_wins(order: int) -> None:
    found = loaded(["model.preset=unet", "model.base_channels=8"][::order])
    assert (found.config.model.base_channels, found.config.model.upsampling) == (8, "transposed")
    assert found.origins["model.base_channels"] == "command line"


def test_a_higher_layer_wins_over_a_lower_preset() -> None:
    model = loaded(["model.preset=unet"], ["model.num_stages=2"]).config.model
    assert (model.num_stages, model.base_channels, model.preset) == (2, 64, "unet")


def test_a_higher_preset_replaces_what_lower_layers_said() -> None:
    low = ["model.num_stages=7", "model.norm=group", "model.dropout=0.5"]
    found = loaded(low, ["model.preset=unet", "model.skip=add"])
    assert (found.config.model.num_stages, found.config.model.norm) == (4, "none")
    assert (found.config.model.skip, found.config.model.dropout) == ("add", 0.5)
    assert (found.origins["model.norm"], found.origins["model.dropout"]) == ("preset unet", "command line")
    again = loaded(["model.preset=plain", "model.num_stages=7"], ["model.preset=unet"]).config.model
    assert (again.preset, again.num_stages, again.bottleneck, again.head_kernel) == ("unet", 4, True, 1)


def test_a_frozen_config_with_a_preset_reads_back_equal() -> None:
    config = loaded(["model.preset=unet", "model.base_channels=8"], ["model.num_stages=2"]).config
    assert from_plain(to_plain(config)) == config


def test_a_preset_from_a_file_keeps_its_line() -> None:
    experiment = Layer({"model.preset": "unit"}, {"model.preset": "e.yaml:4"})
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer(SEGMENTER), experiment])
    text = str(caught.value)
    assert "e.yaml:4" in text and "plain, unet or null" in text


@pytest.mark.parametrize(
    ("settings", "key", "words"),
    [
        (["model.num_classes=0"], "model.num_classes", "1 or more"),
        (["model.in_channels=4"], "model.in_channels", "3 (colour) or 1 (grey)"),
        (["model.num_stages=0"], "model.num_stages", "1 or more"),
        (["model.base_channels=0"], "model.base_channels", "1 or more"),
        (["model.convs_per_stage=0"], "model.convs_per_stage", "1 or more"),
        (["model.head_kernel=2"], "model.head_kernel", "1, 3"),
        (["model.upsampling=bicubic"], "model.upsampling", "bilinear"),
        (["data.images.hue=0.6"], "data.images.hue", "0 to 0.5"),
        (["data.images.hue=-0.1"], "data.images.hue", "0 to 0.5"),
        (["data.images.brightness=1.5"], "data.images.brightness", "0 to 1"),
        (["data.images.saturation=1.5"], "data.images.saturation", "0 to 1"),
        (["data.images.contrast=-1"], "data.images.contrast", "0 or more"),
        (["data.images.scale=0.5"], "data.images.scale", "1 or more"),
        (["data.images.crop=0"], "data.images.crop", "1 or more"),
        (["data.images.max_pixels=0"], "data.images.max_pixels", "1 or more"),
        (["data.ignore_index=-1"], "data.ignore_index", "0 or more"),
        (["objective.focal_gamma=-1"], "objective.focal_gamma", "0 or more"),
        (["objective.class_weights=balanced"], "objective.class_weights", "median_frequency"),
        (["data.source=text", "data.path=x"], "data.source", "builtin, images, pets, voc"),
        (["data.source=images"], "data.path", "the folder of the data"),
        (["data.max_tokens=100"], "data.max_tokens", "null"),
        (["trainer.average_checkpoints=2"], "trainer.average_checkpoints", "norm: group"),
        (["objective.losses=iou"], "objective.losses", "'iou' is no loss"),
        (["objective.losses=1 2 dice"], "objective.losses", "'1 2 dice' is no loss"),
        (['objective.losses="dice,"'], "objective.losses", "'' is no loss"),
        (["objective.losses=dice, 2 dice"], "objective.losses", "dice stands twice"),
        (["objective.losses=0 dice"], "objective.losses", "the weight of dice is 0"),
        (["objective.losses=-1 dice"], "objective.losses", "the weight of dice is -1"),
        (["objective.losses=inf dice"], "objective.losses", "the weight of dice is inf"),
        (["objective.losses=nan dice"], "objective.losses", "the weight of dice is nan"),
        (["objective.losses=half dice"], "objective.losses", "half"),
        (["model.num_classes=1", "objective.losses=cross_entropy"], "objective.losses", "two logits or more"),
        (["model.preset=plain", "objective.losses=cross_entropy"], "objective.losses", "two logits or more"),
        (["model.kind=gpt"], "model.kind", "segmenter"),
        (["objective.name=causal_lm"], "objective.name", "pixels"),
        (["model.d_model=64"], "model.d_model", "base_channels"),
    ],
)  # fmt: skip
def test_each_rule_is_checked(settings, key, words) -> None:
    found = problems(*settings)
    assert set(found) == {key}
    assert words in found[key]


def test_all_broken_rules_come_at_once() -> None:
    found = problems("model.in_channels=2", "data.images.hue=1", "objective.losses=iou", "model.num_stages=0")
    assert set(found) == {"model.in_channels", "data.images.hue", "objective.losses", "model.num_stages"}
    assert "cross_entropy, bce, dice, focal" in found["objective.losses"]


def test_a_classifier_of_text_needs_two_classes() -> None:
    with pytest.raises(ConfigError) as caught:
        load_layers([shell_layer(["task=classification", "model.kind=bert", "model.num_classes=1"])])
    assert "2 or more" in str(caught.value)


def test_an_average_of_checkpoints_goes_with_groups() -> None:
    for norm in ("group", "none"):
        assert loaded(["trainer.average_checkpoints=2", f"model.norm={norm}"]).config.trainer.average_checkpoints == 2


@pytest.mark.parametrize(
    ("text", "num_logits", "expected"),
    [
        (None, 1, {"bce": 1.0}),
        (None, 2, {"cross_entropy": 1.0}),
        ("dice", 1, {"dice": 1.0}),
        ("cross_entropy, 0.5 dice", 5, {"cross_entropy": 1.0, "dice": 0.5}),
        (" 2 bce ,1e-1   focal", 1, {"bce": 2.0, "focal": 0.1}),
    ],
)
def test_losses_and_their_weights(text, num_logits, expected) -> None:
    assert parse_losses(text, num_logits) == expected
