"""Bars of importance: the shares that were computed, and names that claim no more."""

import pytest

from lit_transformer.compare.figures import importance_bars, variance_bars
from lit_transformer.compare.importance import Effect

NAN = float("nan")


def test_bars_of_variance_are_the_effects_with_chance_in_grey() -> None:
    effects = [
        Effect(("model.num_layers",), 6.0, 2, 0.6, 0.001),
        Effect(("model.num_heads", "model.num_layers"), 1.0, 4, 0.1, 0.2),
        Effect(("seed",), 1.0, 2, 0.1, 0.01),
        Effect(("noise",), 2.0, 16, 0.2, NAN),
    ]
    (bars,) = variance_bars(effects, "val/loss").data
    assert list(bars.x) == [0.6, 0.1, 0.1, 0.2] and bars.text[0] == "60.0 %"
    figure = variance_bars(effects, "val/loss")
    assert list(figure.layout.yaxis.ticktext) == ["num_layers", "num_heads × num_layers", "seed", "noise"]
    assert bars.marker.color[0] != bars.marker.color[2] == bars.marker.color[3]
    assert "p = 0.001" in bars.hovertext[0] and "p =" not in bars.hovertext[3]


def test_without_seeds_the_largest_interaction_may_be_noise() -> None:
    effects = [Effect(("a",), 3.0, 1, 0.75, NAN), Effect(("a", "b"), 1.0, 1, 0.25, NAN)]
    assert list(variance_bars(effects, "val/loss").layout.yaxis.ticktext) == ["a", "a × b or noise"]


def test_importance_is_sorted_and_escaped(hostile: str) -> None:
    figure = importance_bars({"optimizer.lr": 0.2, hostile: 0.8}, "val/loss")
    assert list(figure.data[0].x) == [0.8, 0.2]
    assert "<" not in figure.layout.yaxis.ticktext[0] + figure.data[0].hovertext[0].replace("<br>", "")
    assert figure.data[0].x[0] == pytest.approx(0.8)
