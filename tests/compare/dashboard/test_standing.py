"""Where cells stand against the best: the report's judgement on the Sweep page and on that of a cell, live, cheap."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lit_transformer.compare.comparison import Comparison, read_comparison
from lit_transformer.compare.dashboard.cell_table import cell_columns, cell_rows
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.compare.dashboard.standing import (
    LONGEST,
    Judging,
    by_metric,
    cell_sentence,
    counted,
    said_of,
    with_standing,
)
from lit_transformer.compare.dashboard.sweep_data import cell_of, cells_of, judged_cells
from lit_transformer.compare.findings import findings, verdict
from lit_transformer.compare.judging import Judged, judge, why_not
from lit_transformer.compare.statistics import rows_of
from lit_transformer.compare.style import STANDING_WORDS, behind_text
from lit_transformer.records.run_folder import RunFolder
from tests.compare.dashboard.site import Seen
from tests.compare.test_judging import HEADS, LAYERS, noisy, set_losses

__all__ = ["noisy"]
TOLD = "want => document.querySelector('#sweep-verdict')?.textContent.startsWith(want)"


def judged_by(comparison: Comparison) -> Judged:
    found = Judging().ask(comparison, LONGEST)
    assert found is not None
    return found


def test_the_page_says_what_the_report_says(noisy: Path) -> None:
    comparison = read_comparison(noisy)
    judged, own = judge(comparison), judged_by(comparison)
    assert said_of(comparison, "val/loss", own) == [verdict(comparison, judged), *findings(comparison, judged)]
    cells = with_standing(cells_of(comparison, "val/loss"), own, comparison.cell_keys)
    rows = cell_rows(comparison, cells)
    for row, wanted in zip(rows, rows_of(judged.cells), strict=True):  # best first, as the report has them
        assert [row["k0"], row["k1"]] == [wanted[HEADS], wanted[LAYERS]]
        assert row["standing"] == STANDING_WORDS[wanted["standing"]] and row["n"] == 3
        for name in ("mean", "sd", "low", "high", "behind", "behind_low", "behind_high"):
            assert row[name] == pytest.approx(wanted[name], rel=1e-12), name
    names = {column["headerName"] for column in cell_columns(comparison, "val/loss", cells, own)}
    assert {"against the best", "95 % low", "behind the best", "sd", "n"} <= names


def test_another_metric_is_judged_in_its_own_direction(noisy: Path) -> None:
    comparison = read_comparison(noisy)
    other = by_metric(comparison, "val/accuracy")
    assert other is not None and other.goal == "maximize" and other.metric == "val/accuracy"
    assert judged_by(other).cells["mean"].max() == judged_by(other).cells["mean"][0]
    odd = replace(comparison, runs=comparison.runs.assign(**{"val/odd": 1.0}))
    assert by_metric(odd, "val/odd") is None
    assert said_of(odd, "val/odd", None) == [
        "Whether a lower or a higher val/odd is better is not known: no ranking by it is claimed."
    ]
    assert said_of(comparison, "val/loss", None) == ["The cells are being compared."]


def test_one_seed_claims_no_ranking_and_says_why(nine: Path) -> None:
    comparison = read_comparison(nine)
    judged = judged_by(comparison)
    reason = why_not(comparison)
    assert reason.startswith("One seed: no ranking") and reason in said_of(comparison, "val/loss", judged)[0]
    assert cell_sentence(comparison, judged, str(comparison.runs["run"][0])) == reason
    cells = with_standing(cells_of(comparison, "val/loss"), judged, comparison.cell_keys)
    assert {row["standing"] for row in cell_rows(comparison, cells)} == {""}
    names = {column["headerName"] for column in cell_columns(comparison, "val/loss", cells, judged)}
    assert not names & {"against the best", "95 % low", "behind the best"}


def test_a_cell_is_told_where_it_stands(noisy: Path) -> None:
    index = LiveIndex(noisy.parent)
    sweep = index.view.sweeps[0]
    comparison, judged = index.comparison(sweep.id), judge(read_comparison(noisy))
    for row in rows_of(comparison.runs):
        run = index.run(run_id(row["run"]))
        assert run is not None and cell_of(index, run) == sweep
        cell = next(cell for cell in rows_of(judged.cells) if (cell[HEADS], cell[LAYERS]) == (row[HEADS], row[LAYERS]))
        said = cell_sentence(comparison, judged, row["run"])
        assert f"num_heads {row[HEADS]}, num_layers {row[LAYERS]}): {STANDING_WORDS[cell['standing']]}" in said
        assert ("behind the best by " + behind_text("val/loss", cell) in said) == (cell["standing"] != "best")
        assert f"{cell['mean']:.3f} ± " in said and "over 3 seeds" in said
    assert (
        cell_sentence(comparison, None, "x").endswith("being compared.")
        and cell_sentence(comparison, judged, "none") == ""
    )


def test_only_what_counts_is_judged_anew(tmp_path: Path, sweep_writer: Callable[..., Path]) -> None:
    sweep = sweep_writer(tmp_path / "s", [1, 2], [1, 2], [0, 1], {(2, 2, 1): "running"})
    live = RunFolder(sweep / "cells" / "num_heads=2,num_layers=2,seed=1")
    with live.lock:
        index = LiveIndex(tmp_path)
        id = index.view.sweeps[0].id
        first = index.judging.ask(index.comparison(id), LONGEST)
        assert first is not None and first.compared
        version = index.view.version
        with live.metrics_file.open("a") as file:
            file.write('{"step": 900, "val/loss": 0.001}\n')
        assert index.refresh(force=True).version > version
        assert index.judging.ask(index.comparison(id), LONGEST) is first
        cells, judged = judged_cells(index, index.comparison(id), "val/loss")
        assert judged is first and cells["mean"].notna().all()  # its number is shown, though it is not compared yet
        done = {"version": 1, "status": "complete", "metrics": {"val/loss": 0.001}}
        live.result_file.write_text(json.dumps(done))
    index.refresh(force=True)
    assert counted(index.comparison(id)) != counted(read_comparison(tmp_path / "s"))  # another folder
    anew = index.judging.ask(index.comparison(id), LONGEST)
    assert anew is not first and anew is not None
    assert anew.cells["n"].tolist() == [2, 2, 2, 2] and sorted(first.cells["n"]) == [1, 2, 2, 2]


def test_cells_are_marked_on_the_page_and_follow_the_disk(noisy: Path, look: Callable[..., Seen]) -> None:
    seen = look(noisy.parent)
    comparison = read_comparison(noisy)
    judged = judge(comparison)
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length === 6")
    seen.until(
        "want => document.querySelector('#sweep-verdict')?.textContent.startsWith(want)", verdict(comparison, judged)
    )
    said = seen.page.locator("#sweep-verdict li").all_inner_texts()
    assert said == findings(comparison, judged)
    wanted = rows_of(judged.cells)
    assert seen.column("sweep-cells", "standing") == [STANDING_WORDS[row["standing"]] for row in wanted]
    assert seen.column("sweep-cells", "low") == [f"{row['low']:.3f}" for row in wanted]
    assert seen.column("sweep-cells", "mean") == [f"{row['mean']:.3f}" for row in wanted]
    tied = judged.cells["standing"].tolist().count("not told apart")
    seen.until(
        "want => JSON.stringify(document.querySelector('#sweep-map .js-plotly-plot').layout.shapes.map(s => s.name))"
        " === JSON.stringify(want)",
        ["best", *["not told apart from the best"] * tied],
    )

    set_losses(noisy, lambda heads, layers, seed: 2.0 + 0.1 * heads + 0.001 * (seed * heads % 2) + 0.2 * seed)
    anew = read_comparison(noisy)
    seen.until(
        "want => document.querySelector('#sweep-verdict').textContent.startsWith(want)", verdict(anew, judge(anew))
    )
    seen.until("() => document.querySelector('#sweep-cells [row-index=\"0\"] [col-id=k0]').textContent === '1'")

    seen.page.wait_for_selector("#sweep-why .main-svg")  # nothing of the page is still to come
    run = str(anew.runs["run"].iloc[-1])
    seen.open(f"/run?id={run_id(f'noisy/{run}')}", "#run-standing a")
    told = seen.page.locator("#run-standing").inner_text()
    assert told == f"A cell of noisy. {cell_sentence(anew, judge(anew), run)}" and ": worse; behind the best by" in told
    seen.quiet()


@pytest.mark.slow
def test_one_seed_is_not_ranked_on_the_page(nine: Path, look: Callable[..., Seen]) -> None:
    seen = look(nine.parent)
    comparison = read_comparison(nine)
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("want => document.querySelector('#sweep-verdict')?.textContent.includes(want)", why_not(comparison))
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length > 0")
    assert seen.page.locator("#sweep-cells [col-id=standing]").count() == 0
    seen.page.wait_for_selector("#sweep-why :is(.main-svg, .hint)")
    run = str(comparison.runs["run"][0])
    seen.open(f"/run?id={run_id(f'demo/{run}')}", "#run-standing a")
    assert seen.page.locator("#run-standing").inner_text() == f"A cell of demo. {why_not(comparison)}"
    seen.quiet()
