"""Statistics against hand-worked numbers and numpy."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lit_transformer.compare.comparison import default_axes, goal_of, read_comparison, values_of
from lit_transformer.compare.findings import caveat
from lit_transformer.compare.judging import judge
from lit_transformer.compare.statistics import best_cell, mean_interval, mean_sd, ranked, summarise


def test_mean_and_sd_by_hand() -> None:
    assert mean_sd([2.0, 4.0, 9.0]) == (5.0, pytest.approx(math.sqrt(13)), 3)  # (9 + 1 + 16) / 2 = 13
    mean, sd, n = mean_sd([3.5])
    assert (mean, n) == (3.5, 1) and math.isnan(sd)
    assert mean_sd([1.0, math.nan, math.inf, 3.0]) == (2.0, pytest.approx(math.sqrt(2)), 2)
    assert mean_sd([])[2] == 0 and math.isnan(mean_sd([math.nan])[0])


def test_interval_of_a_mean_is_that_of_scipy() -> None:
    values = np.array([2.31, 2.35, 2.28])
    mean, sd, n = mean_sd(values)
    expected = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(mean, sd, n) == pytest.approx(expected, rel=1e-12)
    assert all(map(math.isnan, mean_interval(3.5, math.nan, 1)))


def test_cells_average_over_seeds_alone(seeded: Path) -> None:
    comparison = read_comparison(seeded)
    assert comparison.factors == ["model.num_heads", "model.num_layers"] and comparison.averaged
    cells = judge(comparison).cells
    assert cells["n"].tolist() == [2, 2] and cells["model.num_heads"].tolist() == [2, 4]
    for index, heads in enumerate([2, 4]):
        values = comparison.runs.loc[comparison.runs["model.num_heads"] == heads, "val/loss"].to_numpy()
        assert cells["mean"][index] == pytest.approx(np.mean(values))
        assert cells["sd"][index] == pytest.approx(np.std(values, ddof=1))


def test_one_seed_has_no_sd(nine: Path) -> None:
    cells = judge(read_comparison(nine)).cells
    assert len(cells) == 9 and cells["sd"].isna().all() and (cells["n"] == 1).all()
    assert cells["mean"].is_monotonic_increasing


def frame(*rows: tuple[int, str, float]) -> pd.DataFrame:
    runs = pd.DataFrame(rows, columns=["heads", "status", "val/loss"])
    for name in ("parameters", "flops_per_token", "flops", "tokens_per_second", "seconds", "peak_memory_bytes"):
        runs[name] = math.nan
    return runs.assign(problem=None, error=None)


def test_failed_and_diverged_runs_give_no_number() -> None:
    runs = frame((1, "complete", 2.0), (1, "diverged", 0.5), (2, "diverged", 0.1), (4, "running", 1.5))
    cells = summarise(runs, ["heads"], "val/loss")
    assert cells["mean"].tolist()[::2] == [2.0, 1.5] and math.isnan(cells["mean"][1])
    assert cells["status"].tolist() == ["complete", "diverged", "running"]
    assert cells["detail"][0] == "1 complete, 1 diverged" and cells["count"].tolist() == [2, 1, 1]


@pytest.mark.parametrize(("goal", "order"), [("minimize", [2, 1, 3, 4, 5]), ("maximize", [1, 2, 3, 4, 5])])
def test_order_is_complete_then_provisional_then_the_rest(goal: str, order: list[int]) -> None:
    runs = frame(
        (5, "impossible", math.nan),
        (3, "running", 0.1),
        (1, "complete", 3.0),
        (4, "failed", math.nan),
        (2, "complete", 2.0),
    )
    cells = ranked(summarise(runs, ["heads"], "val/loss"), goal)  # type: ignore[arg-type]
    assert cells["heads"].tolist() == order
    assert best_cell(cells, goal) == 0  # type: ignore[arg-type]


def test_null_text_and_numbers_group_and_sort() -> None:
    runs = frame((1, "complete", 1.0), (1, "complete", 2.0), (1, "complete", 3.0), (1, "complete", 4.0))
    runs["k"] = pd.Series([10, None, "a", 9], dtype=object)
    assert values_of(runs, "k") == [9, 10, "a", None]
    assert len(summarise(runs, ["k"], "val/loss")) == 4


def test_repeated_points_are_no_seeds(tmp_path: Path, seeded: Path) -> None:
    """The same sweep twice under one root: seeds 0 and 1 appear twice, and twice the same seed is not n = 4."""
    import shutil

    shutil.copytree(seeded, tmp_path / "again")
    comparison = read_comparison(tmp_path)
    assert not comparison.averaged and (judge(comparison).cells["n"] == 1).all()
    assert len(judge(comparison).cells) == 8


def test_seed_swept_over_one_value_is_one_seed(tmp_path: Path, sweep_writer: Callable[..., Path]) -> None:
    plan = json.loads((sweep_writer(tmp_path / "s", [1, 2], [1], [0]) / "plan.json").read_text())
    plan["swept"].append("seed")
    (tmp_path / "s" / "plan.json").write_text(json.dumps(plan))
    comparison = read_comparison(tmp_path / "s")
    assert not comparison.averaged and caveat(comparison, judge(comparison)).startswith("One seed")


def test_axes_and_goals(nine: Path) -> None:
    assert default_axes(["optimizer.lr", "model.num_layers", "model.num_heads"]) == (
        "model.num_heads",
        "model.num_layers",
    )
    assert default_axes(["optimizer.lr"]) == ("optimizer.lr", None) and default_axes([]) == (None, None)
    comparison = read_comparison(nine)
    assert goal_of("val/loss", comparison) == "minimize" and goal_of("val/accuracy", comparison) == "maximize"
    assert goal_of("parameters", comparison) is None
