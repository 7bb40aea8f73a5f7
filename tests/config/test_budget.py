"""Budgets in layers: what they decide gives way where it stands lower, and is refused beside and above them."""

import pytest

from lit_transformer.config.errors import ConfigError
from lit_transformer.config.layers import Layer, mapping_layer, shell_layer
from lit_transformer.config.load import Loaded, from_plain, load_layers
from lit_transformer.config.show import to_plain

LOW = mapping_layer(
    {"model": {"kind": "gpt", "d_model": 64, "d_ff": 100, "num_heads": 3}, "trainer.max_steps": 7}, "x.yaml"
)


def loaded(*settings: str, low: Layer = LOW) -> Loaded:
    return load_layers([low, shell_layer(settings)])


def problems(*settings: str, low: Layer = LOW) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        loaded(*settings, low=low)
    return {problem.key: str(problem) for problem in error.value.problems}


def test_lower_layers_give_way() -> None:
    assert "model.num_heads" in problems()  # 3 heads do not divide 64
    found = loaded("budget.parameters=100000", "budget.total_flops=1e12")
    assert found.config.model.d_model % 3 == 0 and found.config.model.d_ff is None  # type: ignore[attr-defined]
    for key in ("model.d_model", "model.d_ff"):
        assert found.origins[key].startswith("solved for budget.parameters (command line)")
    assert found.origins["trainer.max_steps"].startswith("solved for budget.total_flops (command line)")
    assert found.config.budget.total_flops == 10**12


@pytest.mark.parametrize("key", ["model.d_model", "model.d_ff", "trainer.max_steps", "trainer.max_epochs"])
def test_beside_or_above_a_budget_they_are_refused(key: str) -> None:
    budget = "budget.total_flops" if key.startswith("trainer") else "budget.flops_per_token"
    said = problems(f"{budget}=100000", f"{key}=48")[key]
    assert "48 beside " + budget in said and f"leave {key} out, or set {budget}=null" in said
    above = load_layers([shell_layer([f"{budget}=100000"], "y.yaml")])
    with pytest.raises(ConfigError, match=f"{budget} \\(y.yaml\\)"):
        load_layers([shell_layer([f"{budget}=100000"], "y.yaml"), shell_layer([f"{key}=48"])])
    assert above.config.budget is not None
    free = load_layers([shell_layer([f"{budget}=100000"], "y.yaml"), shell_layer([f"{budget}=null", f"{key}=48"])])
    assert free.origins[key] == "command line"


def test_null_is_no_width() -> None:
    assert loaded("budget.parameters=100000", "model.d_ff=null", "trainer.max_epochs=null").config.budget.parameters


def test_of_a_segmenter_the_channels() -> None:
    low = mapping_layer({"task": "segmentation", "model": {"kind": "segmenter", "preset": "unet"}}, "x.yaml")
    found = loaded("budget.parameters=100000", low=low)
    assert found.origins["model.base_channels"].startswith("solved for budget.parameters")
    assert "model.base_channels" in problems("budget.parameters=100000", "model.base_channels=3", low=low)


def test_a_frozen_configuration_holds_both() -> None:
    config = to_plain(loaded("budget.parameters=100000", "budget.total_flops=1e12").config)
    config["model"] |= {"d_model": 120, "d_ff": 400}  # type: ignore[operator]
    config["trainer"] |= {"max_steps": 12}  # type: ignore[operator]
    assert to_plain(from_plain(config)) == config


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (["budget.flops_per_token=10"], "budget.parameters"),
        (["budget.total_flops=10", "trainer.max_time=10s"], "trainer.max_time"),
        (["budget.total_flops=10", "trainer.early_stopping.patience=3"], "trainer.early_stopping.patience"),
        (["budget.total_flops=0"], "budget.total_flops"),
        (["budget.total_flops=half"], "budget.total_flops"),
    ],
)
def test_rules(settings: list[str], key: str) -> None:
    assert key in problems("budget.parameters=100000", *settings)
