"""Curves: long form, smoothing against pandas, and thinning that keeps the extremes."""

import math
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.curves import read_curves, smooth, thin
from lit_transformer.compare.read import read_runs
from lit_transformer.records.run_folder import RunFolder


def test_long_form_holds_every_value_and_leaves_damaged_lines_out(nine: Path) -> None:
    run = RunFolder(nine / "cells/num_heads=1,num_layers=1")
    run.metrics_file.write_text(
        '{"step": 1, "train/loss": 3.0}\n{"step": 2, "train/loss": null, "val/loss": 2.5}\n'
        'garbage\n{"train/loss": 9}\n[1]\n{"step": 3, "train/lo'
    )
    curves = read_curves(nine, read_runs(nine))
    mine = curves[curves["run"] == "cells/num_heads=1,num_layers=1"]
    assert mine[["step", "metric"]].to_numpy().tolist() == [[1, "train/loss"], [2, "train/loss"], [2, "val/loss"]]
    assert mine["value"].tolist()[::2] == [3.0, 2.5] and math.isnan(mine["value"].iloc[1])
    assert curves["run"].nunique() == 9


@pytest.mark.parametrize("weight", [0.0, 0.6, 0.9])
def test_smoothing_equals_the_corrected_recursion(weight: float) -> None:
    values = np.random.default_rng(0).normal(size=200)
    expected, average = [], 0.0
    for count, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        expected.append(average / (1 - weight**count))  # the correction of Adam's moments
    np.testing.assert_allclose(smooth(values, weight), expected, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 5000])
@pytest.mark.parametrize("weight", [0.0, 0.5, 0.99])
def test_smoothing_of_finite_values_equals_that_beside_a_gap(count: int, weight: float) -> None:
    values = np.random.default_rng(count).normal(2.0, 1.0, size=count)
    beside = smooth(np.append(values, math.nan), weight)  # by pandas, which passes over gaps
    assert math.isnan(beside[-1]) and len(smooth(np.empty(0), weight)) == 0
    np.testing.assert_allclose(smooth(values, weight), beside[:-1], rtol=1e-9)


def test_smoothing_by_hand_passes_over_nan() -> None:
    smoothed = smooth(np.array([1.0, math.nan, 4.0]), 0.5)
    assert smoothed[0] == 1.0 and math.isnan(smoothed[1])
    assert smoothed[2] == pytest.approx((0.25 * 1 + 0.5 * 4) / 0.75)


@pytest.mark.parametrize("count", [0, 1, 399, 400, 401, 5000])
def test_thinning_keeps_ends_and_extremes_within_the_limit(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    kept = thin(values, 400)
    assert len(kept) <= 400 and (np.diff(kept) > 0).all()
    if count <= 400:
        assert kept.tolist() == list(range(count))
    else:
        assert {0, count - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())


def test_thinning_of_a_curve_without_a_number_and_of_a_limit_too_small() -> None:
    assert 0 < len(thin(np.full(1000, math.nan), 400)) <= 400
    with pytest.raises(ValueError, match="at least 4"):
        thin(np.zeros(9), 3)
