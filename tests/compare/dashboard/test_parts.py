"""The pure parts of the pages: queries, filters, groups, thinned curves, brushes, choices of menus."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from lit_transformer.compare.dashboard.choose import chosen, matches
from lit_transformer.compare.dashboard.curve_figure import GRID, MOST, POINTS, Curve, Drawn, averaged, curve_figure
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.pages.curves import window_of, zoom_of
from lit_transformer.compare.dashboard.parts import MAX_OPTIONS, choices, duration, picked
from lit_transformer.compare.dashboard.query import JOINER, Query, bounded, search_of, text, texts
from lit_transformer.compare.dashboard.run_table import group_rows, run_rows, shown_value
from lit_transformer.compare.dashboard.sample_panel import at_step, marks_of
from lit_transformer.compare.dashboard.samples import attention, read_end, samples_of, text_rows
from lit_transformer.compare.dashboard.sweep_data import brushed, clean_brushes, first_two, inside
from lit_transformer.compare.read import Row
from lit_transformer.records.predictions import write_predictions
from lit_transformer.records.run_folder import RunFolder


def test_a_query_is_read_as_it_was_written() -> None:
    fields = {"q": "num_heads=4 a&b=c #?", "cols": ["val/loss", "model.num_heads", "一"], "empty": [], "smooth": "0.5"}
    query = Query(search_of(fields))
    assert query.text("q") == fields["q"] and query.several("cols") == fields["cols"] and query.text("empty") == ""
    assert query.number("smooth", 0, 1, 9) == 0.5 and query.choice("q", ["x"], "y") == "y"


@pytest.mark.parametrize(
    "search", [None, 1, [], "?" + "a" * 20_000, "?" + "a=1&" * 100, "?%ff=%fe", "?\ud800", "?=&=&", "????"]
)
def test_any_query_is_read(search: object) -> None:
    query = Query(search)
    assert query.text("metric", "usual") == "usual" and query.several("runs") == []
    query.text("a").encode("utf-8")


@pytest.mark.parametrize("value", [None, "x", [], {}, math.nan, 10**400, "nan", True])
def test_numbers_from_a_page_stay_within_their_bounds(value: object) -> None:
    assert bounded(value, 0.0, 0.99, 0.5) in (0.5, 0.99)
    assert bounded(-5, 0.0, 1.0, 0.5) == 0.0 and bounded(math.inf, 0.0, 1.0, 0.5) == 1.0
    assert texts([1, None, "", "a", ["b"]]) == ["a"] and texts("a") == ["a"] and texts({"a": 1}) == []


def test_names_that_break_a_menu_come_back_as_they_were() -> None:
    names = ["__proto__", "Constructor", "model.constructors", "val/loss"]
    made = choices(names)
    assert not any("__proto__" in one or "constructor" in one.lower() for one in made) and made[3] == "val/loss"
    assert texts(made) == names and [text(one) for one in made] == names and JOINER in made[0]
    assert choices([{"label": "__proto__", "value": "id"}]) == [{"label": made[0], "value": "id"}]


def test_menus_offer_what_is_chosen_and_what_is_searched() -> None:
    names = [f"key{place}" for place in range(10_000)]
    assert picked(names, ["key9999", "unknown"])[:2] == ["key9999", "key0"] and len(picked(names, [])) == MAX_OPTIONS
    assert picked(names, [], "KEY123")[:3] == ["key123", "key1230", "key1231"]


def test_words_and_conditions_choose_runs() -> None:
    config: dict[str, object] = {"model.num_heads": 4, "model.name": "Big", "flag": True, "none": None}
    row = Row(run="gpt/一", status="complete", config=config, metrics={"val/loss": 1.5})
    for wanted in ("", "GPT", "complete", "num_heads=4", "model.num_heads=4.0", "val/loss<2 val/loss>=1.5", "name=big",
                   "flag=true", "num_heads!=8", "一", "none=null", "run=gpt/一", "status!=failed"):  # fmt: skip
        assert matches(row, wanted), wanted
    for wanted in (
        "other",
        "failed",
        "num_heads=8",
        "val/loss>2",
        "gpt num_heads<4",
        "unknown=1",
        "val/loss<x",
        "comp",
    ):
        assert not matches(row, wanted), wanted


def test_groups_hold_the_mean_and_sd_over_seeds(seeded: Path) -> None:
    view = LiveIndex(seeded).view
    rows = group_rows(view, ["val/loss", "seed", "model.num_layers"], ["model.num_heads"])
    values = [
        [row.metrics["val/loss"] for row in view.rows if row.config["model.num_heads"] == heads] for heads in (2, 4)
    ]
    assert [row["c0"] for row in rows] == pytest.approx([np.mean(pair) for pair in values], rel=1e-12)
    assert [row["c0s"] for row in rows] == pytest.approx([np.std(pair, ddof=1) for pair in values], rel=1e-9)
    assert [row["c1"] for row in rows] == ["0, 1", "0, 1"] and [row["c2"] for row in rows] == [2, 2]
    assert [row["count"] for row in rows] == [2, 2] and len({str(row["colour"]) for row in run_rows(view, [])}) == 4


def test_numbers_that_a_page_cannot_hold_are_text() -> None:
    assert shown_value(math.nan) is None and shown_value(math.inf) == "inf" and shown_value(2**60) == str(2**60)
    assert shown_value(True) == "true" and shown_value([1]) == "[1]"


def test_averages_are_those_of_numpy_where_runs_share_their_steps() -> None:
    values = np.random.default_rng(0).normal(size=(5, 40))
    values[2, 30:] = np.nan
    x = np.arange(40.0)
    places, mean, sd, count = averaged([Curve("", x, row, "") for row in values])
    np.testing.assert_array_equal(places, x)
    np.testing.assert_allclose(mean, np.nanmean(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(sd, np.nanstd(values, axis=0, ddof=1), rtol=1e-12)
    assert count.tolist() == [5] * 30 + [4] * 10
    long = Curve("", np.arange(5_000.0), np.arange(5_000.0) * 2, "")
    places, mean, _, _ = averaged([long, long])
    assert len(places) == GRID
    np.testing.assert_allclose(mean, places * 2, rtol=1e-12)


def test_figures_are_thin_until_one_zooms_in() -> None:
    values = np.random.default_rng(0).normal(size=5_000)
    curves = [Curve(f"r{place}", np.arange(5_000.0), values + place, "#000000") for place in range(200)]
    drawn = curve_figure(curves, Drawn("m"))
    assert sum(len(trace["x"]) for trace in drawn["data"]) <= POINTS and len(drawn["data"]) == 200
    assert max(drawn["data"][0]["y"]) == pytest.approx(values.max()) and min(drawn["data"][0]["y"]) == pytest.approx(
        values.min()
    )
    part = curve_figure(curves[:1], Drawn("m", window=(100.0, 300.0)))
    assert (
        part["data"][0]["x"] == list(range(99, 302))
        and len(curve_figure(curves[:1], Drawn("m"))["data"][0]["x"]) <= MOST
    )
    assert curve_figure([], Drawn("m"))["data"] == []
    broken = Curve("<b>", np.array([0.0, math.nan, 2.0, math.inf]), np.array([math.nan, 1, math.inf, 2]), "#000000")
    assert curve_figure([broken], Drawn("<i>", log_x=True, log_y=True, smoothing=0.9))["data"][0]["name"] == "&lt;b&gt;"


@pytest.mark.parametrize("scale", [1e-300, 1e-14, 1e-9, 1.0, 1e7, 1e12, 1e21, 1e300])
def test_values_of_a_figure_have_the_seven_digits_that_printing_gives(scale: float) -> None:
    values = np.append(np.random.default_rng(0).normal(size=500) * scale, [0.0, scale, -scale, math.nan, math.inf])
    (trace,) = curve_figure([Curve("r", np.arange(505.0), values, "#000000")], Drawn("m"))["data"]
    assert trace["x"] == list(range(505))
    assert trace["y"] == [float(f"{value:.7g}") if math.isfinite(value) else None for value in values]


def test_zooms_are_read_from_whatever_comes() -> None:
    assert zoom_of({"xaxis.range[0]": 1, "xaxis.range[1]": 5}, log=False) == [1.0, 5.0]
    assert zoom_of({"xaxis.range[0]": 0, "xaxis.range[1]": 2}, log=True) == [1.0, 100.0]
    assert zoom_of({"xaxis.autorange": True}, log=False) is None
    for noise in (None, [], {"autosize": True}, {"xaxis.range[0]": 5, "xaxis.range[1]": 1}, {"xaxis.range[0]": "x"}):
        assert "NoUpdate" in type(zoom_of(noise, log=False)).__name__, noise
    assert window_of([1, 2]) == (1.0, 2.0) and window_of([2, 1]) is None and window_of(["a", None]) is None


def test_brushes_hold_the_lines_that_all_of_them_hold() -> None:
    figure = go.Figure()
    figure.add_parcoords(dimensions=[{"values": [1, 2, 3, 4]}, {"values": [10, 20, 30, 40]}])
    one = brushed({}, [{"dimensions[0].constraintrange": [[1.5, 3.5]]}, [0]], 2)
    assert one == {"0": [[1.5, 3.5]]} and inside(figure, one) == [1, 2]
    both = brushed(one, [{"dimensions[1].constraintrange": [[[5, 12], [25, 45]]]}, [0]], 2)
    assert inside(figure, both) == [2] and inside(figure, {}) == [0, 1, 2, 3]
    assert brushed(both, [{"dimensions[0].constraintrange": None}, [0]], 2) == {"1": both["1"]}
    for noise in (
        None,
        [],
        [1],
        [{"dimensions[9].constraintrange": [[1, 2]]}],
        [{"dimensions[x].constraintrange": 1}],
        {},
    ):
        assert brushed(both, noise, 2) == both
    assert clean_brushes({"0": "x", "1": [[1, math.nan]], "7": [[1, 2]], "a": [[1, 2]]}, 2) == {}
    assert first_two(["a", "b", "c"], "b", "b") == ("b", "a") and first_two([], "a", "b") == (None, None)


def test_sliders_name_few_steps_and_stand_at_the_last_one_before() -> None:
    marks = marks_of(list(range(0, 1000, 10)))
    assert len(marks) == 100 and 1 < sum(name != "" for name in marks.values()) <= 8 and marks["990"] == "990"
    assert at_step({10: "a", 20: "b"}, 15) == 10 and at_step({10: "a"}, 5) == 10 and at_step({}, 5) is None
    assert (
        duration(7500.4) == "2 h 5 min" and duration(61) == "1 min 1 s" and duration(None) == "" == duration(math.nan)
    )


def test_damaged_and_huge_samples_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "attention-1.npz"
    for content in (b"", b"PK\x03\x04", b"x" * 1000):
        file.write_bytes(content)
        assert attention(file) == {}
    np.savez(file, a=np.array([{"x": 1}], dtype=object))  # a pickle inside
    assert attention(file) == {}
    np.savez_compressed(file, a=np.zeros((4, 2_100, 2_100)))  # small on disk, 140 MB unpacked
    assert file.stat().st_size < 1_000_000 and attention(file) == {}
    (tmp_path / "t.jsonl").write_bytes(b'{"a": "x"}\n\xff\n{"a": [1]}\n')
    assert text_rows(tmp_path / "t.jsonl") == [{"a": "x"}, {"a": "[1]"}]
    run, rows = (
        tmp_path / "run",
        [{"row": 0, "hypothesis": "a dog", "reference": "the dog", "statistics": {"bleu": [1]}}],
    )
    write_predictions(run, "test", rows)
    found = samples_of(RunFolder(run)).texts["predictions/test.jsonl"]
    assert text_rows(found) == [{"row": "0", "hypothesis": "a dog", "reference": "the dog"}]
    (tmp_path / "log").write_text("".join(f"line {place}\n" for place in range(1000)))
    assert read_end(tmp_path / "log", 100).splitlines()[-1] == "line 999" and read_end(tmp_path / "none", 9) == ""


def test_ten_thousand_columns_make_a_table_of_few(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    run_writer(tmp_path / "a", wide={f"k{place}": place for place in range(10_000)})
    index = LiveIndex(tmp_path)
    assert len(index.view.rows[0].config) > 10_000
    assert len(chosen(index.view, [], "k9999=9999")) == 1 and chosen(index.view, ["nobody"], "") == []
