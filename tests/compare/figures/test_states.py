"""The map of states, and the decisions of early stopping."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.curves import read_curves
from lit_transformer.compare.figures import state_map, stop_figure
from lit_transformer.compare.figures.states import most_urgent
from lit_transformer.compare.stops import COLUMNS, read_stops
from lit_transformer.records.sweep_folder import SweepFolder

HEADS, LAYERS = "model.num_heads", "model.num_layers"


def test_every_state_has_its_tile_and_reason(mixed: Path) -> None:
    figure = state_map(read_comparison(mixed).runs, x=HEADS, y=LAYERS)
    drawn = {
        (line, column): (trace.name, trace.hovertext[i][j])
        for trace in figure.data
        for i, line in enumerate(trace.y)
        for j, column in enumerate(trace.x)
        if trace.z[i][j] is not None
    }
    states = {place: status for place, (status, _) in drawn.items()}
    assert states["1", "1"] == "failed" and states["1", "2"] == "diverged" and states["1", "3"] == "impossible"
    assert states["1", "4"] == "missing" and states["2", "1"] == "stopped" and states["2", "2"] == "complete"
    assert "not divisible by 3" in drawn["1", "3"][1] and "<img" not in drawn["1", "1"][1] and len(drawn) == 8


def test_seeds_share_a_tile_that_shows_the_most_urgent(tmp_path: Path, sweep_writer: Callable[..., Path]) -> None:
    sweep = sweep_writer(tmp_path / "s", [1, 2], [1], [0, 1, 2], {(1, 1, 0): "failed", (1, 1, 1): "missing"})
    figure = state_map(read_comparison(sweep).runs, x=HEADS, y=LAYERS)
    texts = {trace.name: [text for line in trace.text for text in line if text] for trace in figure.data}
    assert texts == {"failed": ["1 failed<br>1 missing<br>1 complete"], "complete": ["3 complete"]}
    assert most_urgent(["complete", "missing", "running"]) == "running"


def test_cells_without_axes_or_with_too_many_values_stand_in_lines() -> None:
    runs = pd.DataFrame({"run": [f"r{i}" for i in range(45)], "status": "complete", "lr": [i / 7 for i in range(45)]})
    for x in (None, "lr"):
        (trace,) = state_map(runs, x=x, y=None).data
        assert len(trace.x) == 20 and len(trace.y) == 3
        assert sum(height is not None for line in trace.z for height in line) == 45


@pytest.fixture
def stopped(nine: Path) -> Path:
    """The demo's sweep with two trials stopped at band 2, and damaged lines between."""
    lines = [
        {"cell": "num_heads=1,num_layers=1", "time": 1.0, "rule": "hyperband", "metric": "val/loss", "band": 2,
         "value": 3.25, "threshold": 3.0, "rank": 9, "of": 9, "stop": True},
        {"cell": "../../etc", "band": 2}, {"cell": "x", "band": "many"}, {"band": 2},
        {"cell": "num_heads=4,num_layers=1", "rule": "<b>x</b>", "metric": "val/loss", "band": 2, "value": None,
         "threshold": 1e999, "rank": None, "of": 9},
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    SweepFolder(nine).stops_file.write_text(text + '[1]\n{"cell": "num_heads=2')
    return nine


def test_stops_are_read_past_damaged_lines(stopped: Path) -> None:
    stops = read_stops(stopped)
    assert stops["run"].tolist() == ["cells/num_heads=1,num_layers=1", "cells/num_heads=4,num_layers=1"]
    assert stops.loc[0, ["rule", "band", "value", "threshold", "rank", "of"]].tolist() == [
        "hyperband",
        2,
        3.25,
        3.0,
        9,
        9,
    ]
    assert tuple(stops.columns) == COLUMNS == tuple(read_stops(stopped / "cells").columns)
    assert read_stops(stopped.parent)["run"][0] == "demo/cells/num_heads=1,num_layers=1"


def test_stops_are_crosses_at_their_band_on_the_curves_of_all(stopped: Path) -> None:
    comparison = read_comparison(stopped)
    curves = read_curves(stopped, comparison.runs)
    figure = stop_figure(read_stops(stopped), curves, "val/loss")
    cross, threshold = (next(t for t in figure.data if t.name == name) for name in ("stop", "threshold"))
    assert (list(cross.x), list(cross.y), list(threshold.y)) == ([2], [3.25], [3.0])
    assert "rank 9 of 9" in cross.hovertext[0]
    lines = {trace.name: trace for trace in figure.data if trace.hovertemplate and trace.mode == "lines"}
    own = curves[(curves["run"] == "cells/num_heads=2,num_layers=4") & (curves["metric"] == "val/loss")]["value"]
    assert list(lines["cells/num_heads=2,num_layers=4"].y) == pytest.approx(own.tolist(), rel=1e-5) and len(lines) == 9
    assert len({trace.line.color for trace in lines.values()}) == 2 and figure.layout.shapes[0].x0 == 2
