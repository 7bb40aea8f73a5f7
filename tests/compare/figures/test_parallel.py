"""Parallel coordinates: places and ticks of every kind of setting, colours by the metric."""

import math
from pathlib import Path

import pandas as pd
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.figures import parallel_coordinates
from lit_transformer.compare.figures.parallel import dimension
from lit_transformer.compare.judging import judge


def test_few_values_stand_at_equal_distances_in_order() -> None:
    axis = dimension([8, 1, None, 2, 1], "heads")
    assert axis.names == ["1", "2", "8", "null"] and axis.ticks == [0, 1, 2, 3] and axis.places == [2, 0, 3, 1, 0]


def test_many_numbers_are_drawn_to_scale_with_null_below() -> None:
    values = [0.1 * index for index in range(20)]
    axis = dimension([*values, None], "dropout")
    assert axis.places[:20] == pytest.approx(values) and axis.places[20] < 0
    assert axis.names[0] == "null" and axis.ticks[0] == axis.places[20] and axis.names[1:] == ["0", "0.5", "1", "1.5"]


def test_numbers_over_decades_are_drawn_by_their_logarithm() -> None:
    axis = dimension([10 ** (-5 + index / 5) for index in range(21)], "lr")
    assert axis.places == pytest.approx([-5 + index / 5 for index in range(21)])
    assert set(axis.names) >= {"0.0001", "0.001", "0.01"} and axis.ticks == pytest.approx(
        [math.log10(float(name)) for name in axis.names]
    )


def test_many_names_keep_their_order_and_few_enough_ticks() -> None:
    axis = dimension([f"run {index:03}" for index in range(100)], "name")
    assert axis.places == [float(index) for index in range(100)] and len(axis.ticks) == len(axis.names) == 25
    assert axis.names[1] == "run 004" and axis.ticks[1] == 4


def test_lines_are_the_cells_with_a_number_coloured_by_it(mixed: Path) -> None:
    comparison = read_comparison(mixed)
    cells = judge(comparison).cells
    figure = parallel_coordinates(cells, comparison.factors, metric="val/loss", goal="minimize", costs=["parameters"])
    (trace,) = figure.data
    known = cells[cells["mean"].notna()]
    assert list(trace.line.color) == known["mean"].tolist() and len(known) == 4
    heads, layers, parameters, metric = trace.dimensions
    assert [heads.ticktext[round(place)] for place in heads["values"]] == known["model.num_heads"].astype(str).tolist()
    assert list(metric["values"]) == known["mean"].tolist() and parameters.label == "parameters"
    assert layers.label == "num_layers" and trace.line.colorscale[0][1] != trace.line.colorscale[-1][1]


def test_hostile_names_are_escaped_where_plotly_makes_markup_and_plain_where_not(hostile: str) -> None:
    cells = pd.DataFrame({hostile: [hostile, "b"], "mean": [1.0, 2.0]})
    (trace,) = parallel_coordinates(cells, [hostile], metric=hostile, goal=None).data
    assert "<" not in trace.dimensions[0].label and "<" not in trace.dimensions[1].label
    assert trace.dimensions[0].ticktext[0].startswith("<img src=x") and len(trace.dimensions[0].ticktext[0]) <= 22
    assert not parallel_coordinates(cells.assign(mean=math.nan), [hostile], metric="x/y", goal=None).data
