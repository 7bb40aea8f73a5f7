"""Figures: the numbers in them are those on disk, and what has no number is named."""

import math
from pathlib import Path

import plotly.graph_objects as go
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.curves import read_curves, smooth
from lit_transformer.compare.figures import against, learning_curves
from lit_transformer.compare.heatmap import Reducer, heatmap
from lit_transformer.compare.judging import judge
from lit_transformer.compare.statistics import summarise
from lit_transformer.compare.style import escape, mean_text, si

HEADS, LAYERS = "model.num_heads", "model.num_layers"


def tiles(figure: go.Figure) -> dict[tuple[str, str], str]:
    """(y, x) -> the text drawn there, over all traces; a place drawn twice fails."""
    drawn: dict[tuple[str, str], str] = {}
    for trace in figure.data:
        for line, texts, heights in zip(trace.y, trace.text, trace.z, strict=True):
            for column, shown, height in zip(trace.x, texts, heights, strict=True):
                if height is not None:
                    assert (line, column) not in drawn
                    drawn[line, column] = shown
    return drawn


def draw(directory: Path, metric: str = "val/loss", x: str = HEADS, y: str | None = LAYERS) -> go.Figure:
    comparison = read_comparison(directory)
    cells = summarise(comparison.runs, comparison.cell_keys, metric)
    return heatmap(cells, x=x, y=y, metric=metric, goal="minimize")


def test_heatmap_shows_the_numbers_on_disk_and_outlines_the_lowest(nine: Path) -> None:
    figure = draw(nine)
    runs = read_comparison(nine).runs
    expected = {(str(r[LAYERS]), str(r[HEADS])): f"{r['val/loss']:.3f}" for _, r in runs.iterrows()}
    assert tiles(figure) == expected
    assert figure.layout.xaxis.title.text == HEADS and figure.layout.yaxis.title.text == LAYERS
    best = figure.layout.shapes[0]
    line, column = min(expected, key=lambda place: expected[place])
    x, y = list(figure.layout.xaxis.categoryarray), list(figure.layout.yaxis.categoryarray)
    assert (x[round(best.x0 + 0.5)], y[round(best.y0 + 0.5)]) == (column, line)


def test_cells_without_a_number_are_named_in_the_tile_and_explained_in_the_hover(mixed: Path) -> None:
    figure = draw(mixed)
    drawn = tiles(figure)
    assert [drawn["1", heads] for heads in "1234"] == ["failed", "diverged", "impossible", "missing"]
    assert drawn["2", "1"].endswith("<br>(stopped)")
    hovers = " ".join(text for trace in figure.data for line in trace.hovertext for text in line)
    assert "not divisible by 3" in hovers and "loss is NaN" in hovers
    colours = [trace.colorscale[0][1] for trace in figure.data if trace.coloraxis is None]
    assert len(set(colours)) == 4


def test_heatmap_of_seeds_shows_mean_and_sd(seeded: Path) -> None:
    cells = summarise(read_comparison(seeded).runs, [HEADS, LAYERS], "val/loss")
    mean, sd = cells["mean"][0], cells["sd"][0]
    assert tiles(draw(seeded))["2", "2"] == f"{mean:.3f}<br>± {sd:.3f}"


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (1.78912, 0.0049, "1.789 ± 0.005"), (1.78912, 0.000482, "1.7891 ± 0.0005"),
        (1.78912, 2e-6, "1.789120 ± 0.000002"),
        (1.78912, 1e-9, "1.789120 ± 0.000000"), (1.78912, 0.0, "1.789 ± 0.000"), (1.78912, math.nan, "1.789"),
        (math.nan, 0.1, " ± 0.100"), (2e-4, 3e-5, "0.0002 ± 3e-05"),
    ],
)  # fmt: skip
def test_a_small_deviation_is_told_in_the_digits_of_its_mean(mean: float, sd: float, text: str) -> None:
    assert mean_text("val/loss", mean, sd) == text


def test_more_settings_than_two_show_the_best_and_say_so(nine: Path) -> None:
    figure = draw(nine, x=HEADS, y=None)
    runs = read_comparison(nine).runs
    lowest = runs.groupby(HEADS)["val/loss"].min()
    assert tiles(figure) == {("", str(heads)): f"{value:.3f}" for heads, value in lowest.items()}
    assert "best of 3 cells" in figure.data[0].hovertext[0][0] + figure.data[-1].hovertext[0][0]


@pytest.mark.parametrize(("reducer", "reduce"), [("best", "min"), ("mean", "mean"), ("median", "median")])
def test_reducers_are_those_of_pandas(nine: Path, reducer: Reducer, reduce: str) -> None:
    comparison = read_comparison(nine)
    cells = summarise(comparison.runs, comparison.cell_keys, "val/loss")
    figure = heatmap(cells, x=HEADS, y=None, metric="val/loss", goal="minimize", reducer=reducer)
    expected = comparison.runs.groupby(HEADS)["val/loss"].agg(reduce)
    assert tiles(figure) == {("", str(heads)): f"{value:.3f}" for heads, value in expected.items()}
    assert figure.layout.title.text.startswith(f"{reducer} val/loss")


def test_count_is_of_complete_cells_and_claims_no_best(mixed: Path) -> None:
    comparison = read_comparison(mixed)
    cells = summarise(comparison.runs, comparison.cell_keys, "val/loss")
    figure = heatmap(cells, x=LAYERS, y=None, metric="val/loss", goal="minimize", reducer="count")
    assert tiles(figure) == {("", "1"): "0", ("", "2"): "3"} and not figure.layout.shapes


def test_cells_that_cannot_be_told_from_the_best_have_a_dotted_outline(seeded: Path) -> None:
    judged = judge(read_comparison(seeded))
    figure = heatmap(judged.cells, x=HEADS, y=LAYERS, metric="val/loss", goal="minimize")
    marks = {shape.line.dash for shape in figure.layout.shapes}
    tied = judged.cells["standing"].tolist().count("not told apart")
    assert len(figure.layout.shapes) == 1 + tied and marks == ({"solid", "dot"} if tied else {"solid"})


def test_sweep_where_nothing_ran_still_draws(nine: Path) -> None:
    import shutil

    shutil.rmtree(nine / "cells")
    figure = draw(nine)
    assert set(tiles(figure).values()) == {"missing"} and not figure.layout.shapes


def test_curves_hold_every_level_and_show_one(nine: Path) -> None:
    comparison = read_comparison(nine)
    curves = read_curves(nine, comparison.runs)
    figure = learning_curves(curves, comparison.runs, metric="train/loss", looks=comparison.looks, smoothing=0.6)
    run = "cells/num_heads=2,num_layers=4"
    own = {trace.meta["level"]: trace for trace in figure.data if trace.meta and trace.name == run}
    assert sorted(own) == [0.0, 0.6, 0.9]
    assert (own[0.0].visible, own[0.6].visible, own[0.9].visible) == (True, True, False) and own[0.0].opacity < 0.5
    raw = curves[(curves["run"] == run) & (curves["metric"] == "train/loss")]["value"].to_numpy()
    assert own[0.9].y == pytest.approx(smooth(raw, 0.9), rel=1e-5) and own[0.0].y == pytest.approx(raw, rel=1e-5)


def test_short_and_long_curves(nine: Path) -> None:
    comparison = read_comparison(nine)
    curves = read_curves(nine, comparison.runs)
    few = learning_curves(curves, comparison.runs, metric="val/loss", looks=comparison.looks)
    assert all(trace.meta["alone"] for trace in few.data if trace.meta)  # 4 validations: never smoothed
    thinned = learning_curves(curves, comparison.runs, metric="train/loss", looks=comparison.looks, max_points=10)
    assert max(len(trace.x) for trace in thinned.data) <= 10


def test_runs_of_one_value_share_a_colour_in_every_figure(nine: Path) -> None:
    comparison = read_comparison(nine)
    cells = summarise(comparison.runs, comparison.cell_keys, "val/loss")
    points = against(cells, cost="parameters", metric="val/loss", looks=comparison.looks)
    lines = learning_curves(
        read_curves(nine, comparison.runs), comparison.runs, metric="val/loss", looks=comparison.looks
    )
    measured = [trace for trace in points.data if trace.x[0] is not None]
    scatter = {hover.split("<br>")[0]: trace.marker.color for trace in measured for hover in trace.hovertext}
    curve = {trace.hovertemplate.split("<br>")[0]: trace.line.color for trace in lines.data if trace.meta}
    assert scatter == curve and len(scatter) == 9 and len(set(scatter.values())) == 3


def test_scatter_holds_metric_cost_and_sd_on_log_axes(seeded: Path) -> None:
    comparison = read_comparison(seeded)
    cells = summarise(comparison.runs, comparison.cell_keys, "val/loss")
    figure = against(cells, cost="flops", metric="val/loss", looks=comparison.looks)
    points = [trace for trace in figure.data if trace.x[0] is not None]
    drawn = [point for t in points for point in zip(t.x, t.y, t.error_y.array, t.hovertext, strict=True)]
    hovers = [
        f"model.num_heads = {heads}, model.num_layers = {layers}"
        for heads, layers in zip(cells["model.num_heads"], cells["model.num_layers"], strict=True)
    ]
    expected = zip(cells["flops"], cells["mean"], cells["sd"], hovers, strict=True)
    assert sorted((*rest, hover.split("<br>")[0]) for *rest, hover in drawn) == sorted(expected)
    assert all(trace.error_y.visible for trace in points)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_labels_are_escaped_and_numbers_readable(hostile: str) -> None:
    assert "<" not in escape(hostile) and "%{" not in escape(hostile) and escape("a\x1b[31m\nb") == "a [31m b"
    assert (si(1.234e6), si(5.0), si(2e13), si(math.nan)) == ("1.23 M", "5", "20 T", "")
