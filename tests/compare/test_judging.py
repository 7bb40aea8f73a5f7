"""What seeds allow to be said of a sweep's cells and settings, from the files on disk to the table, JSON and page."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.findings import caveat, findings, verdict
from lit_transformer.compare.judging import judge
from lit_transformer.compare.paired import OnRows
from lit_transformer.compare.report import report_html
from lit_transformer.compare.table import json_document
from lit_transformer.records.run_folder import RunFolder

HEADS, LAYERS = "model.num_heads", "model.num_layers"


def set_losses(sweep: Path, loss: Callable[[int, int, int], float]) -> None:
    """Give every complete run the loss of its heads, layers and seed."""
    for folder in (sweep / "cells").iterdir():
        run = RunFolder(folder)
        config, result = run.read_config(), run.read_result()
        if result.get("status") == "complete":
            model = config["model"]
            assert isinstance(model, dict) and isinstance(result["metrics"], dict)
            result["metrics"]["val/loss"] = loss(model["num_heads"], model["num_layers"], int(str(config["seed"])))
            run.result_file.write_text(json.dumps(result))


@pytest.fixture
def noisy(tmp_path: Path, sweep_writer: Callable[..., Path]) -> Path:
    """Heads 1, 2, 4 x layers 1, 2 with three seeds: one head is worse by 10 sd, layers make no difference."""
    sweep = sweep_writer(tmp_path / "noisy", [1, 2, 4], [1, 2], [0, 1, 2])
    random = np.random.default_rng(0)
    set_losses(sweep, lambda heads, layers, seed: 2.0 + 0.1 * (heads == 1) + 0.2 * seed + 0.01 * random.normal())
    return sweep


def test_cells_and_settings_that_cannot_be_told_from_the_best_are_marked(noisy: Path) -> None:
    judged = judge(read_comparison(noisy))
    worse = judged.cells[judged.cells["standing"] == "worse"]
    assert judged.compared and set(worse[HEADS]) == {1} and len(worse) == 2 and judged.df == 10
    assert judged.cells["standing"].tolist()[:4] == ["best", *["not told apart"] * 3]
    assert judged.cells["behind"].is_monotonic_increasing and 0.003 < judged.sd < 0.03
    heads = judged.levels[HEADS].set_index("value")
    means = judged.cells.groupby(HEADS)["mean"].mean()
    assert heads["mean"].to_dict() == pytest.approx(means.to_dict())
    assert heads["standing"].to_dict()[1] == "worse" and list(heads["standing"]).count("not told apart") == 1
    assert set(judged.levels[LAYERS]["standing"]) == {"best", "not told apart"}
    assert heads.loc[1, "behind_low"] < 0.1 < heads.loc[1, "behind_high"]


@pytest.mark.parametrize("damaged", [False, True])
def test_one_run_is_ranked_against_nothing_and_nothing_is_said_of_it(
    damaged: bool, tmp_path: Path, run_writer: Callable[..., object]
) -> None:
    run_writer(tmp_path / "only")
    if damaged:
        RunFolder(tmp_path / "only").config_file.write_text("model: [")
    comparison = read_comparison(tmp_path)
    judged = judge(comparison)
    assert (judged.compared, judged.reason) == (False, "") and caveat(comparison, judged) == ""


def test_verdict_and_findings_say_it_in_words(noisy: Path) -> None:
    comparison = read_comparison(noisy)
    judged = judge(comparison)
    said = verdict(comparison, judged)
    assert "3 of 5 other cells cannot be told from it" in said and "over 3 seeds" in said
    heads, layers = findings(comparison, judged)
    assert "cannot be told from it; worse: 1 by 0.1" in heads and "worse" not in layers
    page = report_html(comparison, judged)
    assert page.count("cannot be told from the best</td>") == 3 and "behind the best" in page


def test_json_carries_interval_count_and_mark(noisy: Path) -> None:
    comparison = read_comparison(noisy)
    document = json.loads(json_document(comparison, judge(comparison), OnRows()))
    first, last = document["cells"][0], document["cells"][-1]
    assert first["n"] == 3 and first["low"] < first["mean"] < first["high"] and first["standing"] == "best"
    assert last["standing"] == "worse" and 0 <= last["behind_low"] < last["behind"] < last["behind_high"]
    assert document["comparison"]["compared"] and document["comparison"]["df"] == 10
    assert {row["value"]: row["standing"] for row in document["levels"][HEADS]}[1] == "worse"


def test_one_seed_claims_no_ranking_and_says_why(nine: Path) -> None:
    comparison = read_comparison(nine)
    judged = judge(comparison)
    assert not judged.compared and set(judged.cells["standing"]) == {""} and judged.levels == {}
    assert "another seed may reorder them" in judged.reason and "seed: {values: [0, 1, 2]}" in judged.reason
    assert caveat(comparison, judged) == judged.reason and judged.reason in verdict(comparison, judged)


def test_missing_seeds_are_allowed_for_and_said(tmp_path: Path, sweep_writer: Callable[..., Path]) -> None:
    lost = {(1, 1, 0): "failed", (2, 1, 1): "missing", (4, 2, 0): "running", (4, 2, 1): "failed", (4, 2, 2): "diverged"}
    sweep = sweep_writer(tmp_path / "holes", [1, 2, 4], [1, 2], [0, 1, 2], lost)
    random = np.random.default_rng(1)
    set_losses(sweep, lambda heads, layers, seed: 2.0 + 0.5 * seed + 0.01 * random.normal())
    judged = judge(read_comparison(sweep))
    told = judged.cells[judged.cells["standing"] != ""]
    assert len(told) == 5 and "worse" not in set(told["standing"]) and told["behind"].max() < 0.05
    assert np.ptp(told["mean"]) > 0.2  # the means of the seeds that there are, which the holes push apart
    first, second = judged.notes
    assert "2 of 6 cells have fewer than 3 seeds" in first and "flatter" in first
    assert "1 of 6 cells have no complete run" in second
    heads = judged.levels[HEADS]  # only one layer has all three heads
    assert heads["value"].tolist() == [1, 2, 4] and math.isfinite(heads["behind"].max())


def test_seeds_that_give_equal_numbers_claim_nothing(tmp_path: Path, sweep_writer: Callable[..., Path]) -> None:
    sweep = sweep_writer(tmp_path / "same", [1, 2], [1], [0, 1])
    set_losses(sweep, lambda heads, layers, seed: float(heads))
    comparison = read_comparison(sweep)
    judged = judge(comparison)
    assert not judged.compared and "no noise" in caveat(comparison, judged)
