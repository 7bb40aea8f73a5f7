"""The Pareto front against its definition, and its mark in the figure."""

import math
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.figures import against, pareto_front
from lit_transformer.compare.judging import judge


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_front_is_what_no_other_point_beats(goal: str) -> None:
    random = np.random.default_rng(0)
    costs, values = random.integers(1, 20, 60).astype(float), random.integers(1, 20, 60).astype(float)
    sign = 1 if goal == "minimize" else -1
    found = pareto_front(costs.tolist(), values.tolist(), goal)  # type: ignore[arg-type]
    points = {(costs[index], values[index]) for index in found}
    expected = {
        (c, v)
        for c, v in zip(costs, values, strict=True)
        if not any((d <= c and sign * w <= sign * v) and (d, w) != (c, v) for d, w in zip(costs, values, strict=True))
    }
    assert points == expected and len(found) == len(points)
    assert [costs[index] for index in found] == sorted(costs[index] for index in found)


def test_points_without_a_number_and_nothing_at_all() -> None:
    assert pareto_front([1, math.nan, 3, 2], [5, 1, math.inf, 6], "minimize") == [0]
    assert pareto_front([], [], "maximize") == []


def test_front_of_complete_cells_is_marked(nine: Path) -> None:
    comparison = read_comparison(nine)
    cells = judge(comparison).cells
    figure = against(cells, cost="seconds", metric="val/loss", looks=comparison.looks, goal="minimize")
    (front,) = [trace for trace in figure.data if trace.name == "Pareto front"]
    best = cells.groupby("seconds")["mean"].min()
    assert dict(zip(front.x, front.y, strict=True)) == best.to_dict() and len(best) == 3
    assert figure.layout.title.text == "val/loss against seconds of training"
    plain = against(cells, cost="seconds", metric="val/loss", looks=comparison.looks)
    assert all(trace.name != "Pareto front" for trace in plain.data)
