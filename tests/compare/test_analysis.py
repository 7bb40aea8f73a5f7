"""Files of `analyze` as tables, figures and a part of the report: the numbers on disk, whatever else is in them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.compare.analysis_figures import few_heads_figure, heads_map, pruning_figure, scaling_figure
from lit_transformer.compare.analysis_files import read_heads, read_sweep_analysis
from lit_transformer.compare.analysis_section import MAX_RUNS, analysis_section
from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.report import report_html
from lit_transformer.records.analysis import heads_file, sweep_analysis_file
from lit_transformer.records.atomic import write_json
from tests.compare.test_report import Seen, look, quiet

__all__ = ["look"]


def heads_document(name: str = "gpt") -> dict[str, Any]:
    places = [("encoder", 0), ("decoder", 0), ("decoder", 1), ("cross", 0)]
    heads = [
        {
            "attention": side, "layer": layer, "head": head, "gradient": 0.1 * layer + head, "removal": 0.5 - layer,
            "entropy": 1.5, "distance": None if side == "cross" else 2.5,
        }
        for side, layer in places
        for head in range(2)
    ]  # fmt: skip
    metrics = {"val/loss": [2.0, 2.5, 4.0], "val/accuracy": [0.6, 0.5, 0.1]}
    curves = [
        {"by": by, "order": list(range(8)), "removed": [0, 4, 8], "metrics": metrics}
        for by in ("gradient", "removal", "random", "random")
    ]
    curves[3]["metrics"] = {"val/loss": [2.0, 3.5, 4.0], "val/accuracy": [0.6, 0.3, 0.1]}
    return {
        "version": 1, "model": name, "checkpoint": None, "batches": 3, "batches_there": 9,
        "metrics": {"val/loss": 2.0, "val/accuracy": 0.6}, "heads": heads, "curves": curves,
    }  # fmt: skip


def sweep_document(layers: object = 2) -> dict[str, Any]:
    match = {
        "cell": {"model.num_layers": layers}, "heads": 1, "largest": 4, "seeds": [0, 1], "trained": [2.0, 2.2],
        "pruned": [2.5, 2.7], "unpruned": [1.9, 2.1], "difference": 0.5, "low": 0.4, "high": 0.6, "verdict": "trained",
    }  # fmt: skip
    one = {**match, "heads": 2, "trained": [2.0], "pruned": [2.1], "unpruned": [1.9], "low": None, "high": None}
    cell = {"cell": {"model.num_layers": layers}, "parameters": 1e6, "tokens": 1e7, "loss": 2.0, "sd": None, "n": 1}
    scaling = {
        "metric": "val/loss", "terms": ["parameters"], "at_bound": ["alpha"],
        "coefficients": {"E": {"value": 1.5, "low": 1.4, "high": 1.6}, "A": {"value": 300, "low": 1, "high": 900}},
        "cells": [{**cell, "fitted": 2.1}],
        "held_out": {**cell, "predicted": 2.25, "error": 0.25, "relative_error": 0.125},
        "line": {"tokens": 1e7, "parameters": [1e6, 2e6], "loss": [2.1, 2.0], "low": [2.0, 1.9], "high": [2.2, 2.1]},
    }  # fmt: skip
    few = [match, {**one, "difference": 0.1, "verdict": "one seed"}]
    return {"version": 1, "title": "t", "few_heads": few, "few_heads_reason": None, "scaling": scaling,
            "scaling_reason": None}  # fmt: skip


@pytest.fixture
def heads(tmp_path: Path) -> Any:
    write_json(heads_file(tmp_path), heads_document())
    return read_heads(tmp_path)


@pytest.fixture
def sweep(tmp_path: Path) -> Any:
    write_json(sweep_analysis_file(tmp_path), sweep_document())
    return read_sweep_analysis(tmp_path)


def test_a_map_has_every_head_at_its_layer(heads: Any) -> None:
    (trace,) = heads_map(heads, "gradient").data
    assert list(trace.x) == ["0", "1"]
    found = dict(zip(trace.y, trace.z, strict=True))
    assert found["decoder 1"] == pytest.approx((0.1, 1.1)) and found["cross 0"] == [0.0, 1.0] and len(found) == 4
    (apart,) = heads_map(heads, "distance").data
    assert dict(zip(apart.y, apart.z, strict=True))["cross 0"] == [None, None]


def test_pruning_shows_each_order_and_the_mean_of_random_ones(heads: Any) -> None:
    figure = pruning_figure(heads)
    shown = {trace.name: trace for trace in figure.data if trace.name}
    assert set(shown) == {"least gradient first", "least removal first", "at random"}
    assert shown["at random"].y == (2.0, 3.0, 4.0) and shown["at random"].x == (0.0, 0.5, 1.0)
    assert [trace.y for trace in figure.data if not trace.name] == [(2.0, 2.5, 4.0), (2.0, 3.5, 4.0)]
    assert {trace.name: trace.y for trace in pruning_figure(heads, "val/accuracy").data}["at random"][1] == 0.4


def test_few_heads_end_at_the_network_that_was_pruned(sweep: Any) -> None:
    trained, pruned = few_heads_figure(sweep.matches).data
    assert trained.x == pruned.x == (1, 2, 4) and trained.y == pytest.approx((2.1, 2.0, 1.9))
    assert pruned.y == pytest.approx((2.6, 2.1, 1.9)) and trained.name == "num_layers 2, trained"
    assert trained.error_y.array[0] == pytest.approx(math.sqrt(0.02)) and trained.error_y.array[1] is None


def test_scaling_shows_cells_law_band_and_the_held_out_cell(sweep: Any) -> None:
    high, low, law, cells, held = scaling_figure(sweep.scaling).data
    assert (high.y, low.y, law.y) == ((2.2, 2.1), (2.0, 1.9), (2.1, 2.0)) and law.x == (1e6, 2e6)
    assert cells.y == (2.0,) and held.x == (1e6,) and held.y == (2.25,)


@pytest.mark.parametrize(
    "damage",
    [
        lambda document: document.pop("heads"),
        lambda document: document.update(version=2),
        lambda document: document.update(heads=[]),
        lambda document: document.update(heads=3),
        lambda document: document["heads"][0].update(layer="x"),
        lambda document: document["curves"][0].update(removed=[0, 1, 2, 3, 4]),
        lambda document: document["curves"][0].update(metrics=None),
        lambda document: document.update(metrics=[1]),
    ],
)
def test_a_damaged_file_counts_as_missing(
    tmp_path: Path, nine: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    document = heads_document()
    damage(document)
    write_json(heads_file(tmp_path), document)
    assert read_heads(tmp_path) is None
    other = sweep_document()
    other["scaling"]["cells"][0]["parameters"] = 0
    write_json(sweep_analysis_file(nine), other)
    assert read_sweep_analysis(nine) is None
    assert analysis_section(nine, read_comparison(nine).runs).html == ""


def test_the_report_has_a_part_for_it_where_there_are_files(nine: Path) -> None:
    assert "analysis-card" not in report_html(read_comparison(nine))
    write_json(sweep_analysis_file(nine), sweep_document())
    runs = read_comparison(nine).runs
    for run in runs["run"][: MAX_RUNS + 1]:
        write_json(heads_file(nine / run), heads_document())
    section = analysis_section(nine, runs)
    assert len(section.figures) == 2 + 5 * MAX_RUNS and "1 more runs were analyzed" in section.html
    assert all(f'id="analysis-{index}"' in section.html for index in range(len(section.figures)))
    assert (
        "pruned minus trained +0.500 nats (95 % interval +0.400 to +0.600), trained with few is better" in section.html
    )
    assert "no verdict from one seed" in section.html and "predicted 2.2500, measured 2.0000" in section.html
    page = report_html(read_comparison(nine))
    assert section.html in page and json.dumps(section.figures[0]["data"][0]["name"])[1:-1] in page  # type: ignore[index]


def test_names_in_the_files_never_become_markup(nine: Path, hostile: str) -> None:
    document = heads_document(hostile)
    document["heads"][0]["attention"] = hostile
    document["curves"][0]["by"] = hostile
    run = read_comparison(nine).runs["run"][0]
    write_json(heads_file(nine / run), document)
    other = sweep_document(hostile)
    other["few_heads"][0]["verdict"] = hostile
    other["scaling"] |= {"metric": hostile, "at_bound": [hostile]}
    write_json(sweep_analysis_file(nine), other)
    section = analysis_section(nine, read_comparison(nine).runs)
    for text in (section.html, json.dumps(section.figures)):
        assert "<img" not in text and "</script>" not in text and "<b>" not in text
    assert "&lt;img" in section.html and "%{x}$title" not in json.dumps(section.figures)


def test_a_browser_draws_every_figure_of_it(nine: Path, look: Callable[..., Seen]) -> None:
    write_json(sweep_analysis_file(nine), sweep_document())
    write_json(heads_file(nine / read_comparison(nine).runs["run"][0]), heads_document())
    seen = look(nine)
    seen.page.wait_for_function("document.querySelectorAll('#analysis-card .plot-container').length === 7")
    titles = seen.page.eval_on_selector_all("#analysis-card .gtitle", "nodes => nodes.map(node => node.textContent)")
    assert len(titles) == 7 and "val/loss: trained with few heads, or pruned to them" in titles
    labels = seen.page.eval_on_selector_all(
        "#analysis-2 .heatmap-label", "nodes => nodes.map(node => node.textContent)"
    )
    assert labels.count("0.500") == 6 and labels.count("-0.500") == 2
    quiet(seen)
