"""All figures of a report, as data that its page draws: the same functions as the dashboard's, within a size."""

import json
from itertools import combinations

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.comparison import MAX_SETTINGS, Comparison, default_axes, goal_of
from lit_transformer.compare.curves import MAX_POINTS, read_curves
from lit_transformer.compare.figures import (
    against,
    importance_bars,
    learning_curves,
    parallel_coordinates,
    state_map,
    stop_figure,
    variance_bars,
)
from lit_transformer.compare.heatmap import REDUCERS, Reducer, heatmap
from lit_transformer.compare.importance import anova, ped_anova
from lit_transformer.compare.judging import Judged
from lit_transformer.compare.statistics import COSTS, ranked, summarise
from lit_transformer.compare.stops import read_stops

MAX_METRICS = 12
MAP_BUDGET = 1_500_000
"""Bytes of maps, all pairs of settings and all metrics together; the first ones, which matter most, always fit."""
MAX_MAPS = 60
"""Maps in all: each takes some hundredths of a second to make."""
MAX_CURVES = 128
"""Runs whose curves are drawn, the best ones: more lines than these tell nothing apart and take seconds to draw."""
CURVE_POINTS = 30_000
"""Points of one figure of curves, shared among the runs."""
MAX_AXES = 10
"""Swept settings that are drawn, of a folder of runs that differ in thousands: more axes than these stand too close."""
STATE = "state"

Figure = dict[str, object]


def report_figures(comparison: Comparison, judged: Judged) -> dict[str, list[Figure]]:
    """Figures by the section of the page that draws them; a section without a figure is empty."""
    best = ranked(summarise(comparison.runs, ["run"], comparison.metric), comparison.goal)["run"][:MAX_CURVES]
    curves = read_curves(comparison.directory, comparison.runs[comparison.runs["run"].isin(best)])
    return {
        "maps": maps(comparison, judged),
        "scatter": _scatter(comparison, judged),
        "importance": _importance(comparison, judged),
        "parallel": _parallel(comparison, judged),
        "curves": _curves(comparison, curves),
        "stops": _stops(comparison, curves),
    }


def plain_figure(figure: go.Figure) -> dict[str, object]:
    """A figure as what Plotly.newPlot takes; NaN is null."""
    encoded: dict[str, object] = json.loads(figure.to_json(engine="json"))
    return encoded


def maps(comparison: Comparison, judged: Judged) -> list[Figure]:
    """A heatmap for each pair of swept settings and each metric, the most asked for first: axes, metric, figure.

    Of more than two settings the metric is shown reduced in each way; the last map of a pair shows states.
    """
    x, y = default_axes(comparison.factors)
    if x is None:
        return []
    pairs: list[tuple[str, str | None]] = [(x, y)]
    pairs += [pair for pair in combinations(comparison.factors[:MAX_AXES], 2) if {*pair} != {x, y}]
    names = [comparison.metric, *(name for name in comparison.metrics if name != comparison.metric)][:MAX_METRICS]
    shown: list[tuple[str, Reducer]] = [(name, "best") for name in names]
    shown += [(comparison.metric, reducer) for reducer in REDUCERS if reducer != "best" and len(pairs) > 1]
    shown += [(name, "best") for name in COSTS if comparison.runs[name].notna().any()]
    cells = {name: summarise(comparison.runs, comparison.cell_keys, name) for name, _ in shown}
    cells[comparison.metric] = judged.cells
    made: list[Figure] = []
    size = 0
    for across, up in pairs:
        axes = f"{up} over {across}" if up else across
        for name, reducer in [*shown, (STATE, "count")]:
            if name == STATE:
                figure = state_map(comparison.runs, x=across, y=up)
            else:
                goal = goal_of(name, comparison)
                figure = heatmap(cells[name], x=across, y=up, metric=name, goal=goal, reducer=reducer)
            plain = plain_figure(figure)
            size += len(json.dumps(plain))
            if made and (size > MAP_BUDGET or len(made) == MAX_MAPS):
                return made
            title = name if reducer == "best" or name == STATE else f"{name} ({reducer})"
            made.append({"axes": axes, "metric": title, "figure": plain})
    return made


def _scatter(comparison: Comparison, judged: Judged) -> list[Figure]:
    """The metric against parameters, FLOPs and time."""
    metric, looks = comparison.metric, comparison.looks
    return [
        plain_figure(
            against(
                judged.cells, cost=cost, metric=metric, looks=looks, goal=comparison.goal, legend=cost != "parameters"
            )
        )
        for cost in ("parameters", "flops", "seconds")
    ]


def _importance(comparison: Comparison, judged: Judged) -> list[Figure]:
    effects = anova(comparison.runs, comparison.factors, comparison.metric)
    shares = ped_anova(judged.cells, comparison.factors[:MAX_SETTINGS], comparison.goal)
    drawn = [variance_bars(effects, comparison.metric)] if effects else []
    drawn += [importance_bars(shares, comparison.metric)] if len(shares) > 1 else []
    return [plain_figure(figure) for figure in drawn]


def _parallel(comparison: Comparison, judged: Judged) -> list[Figure]:
    """Parallel coordinates where there are two settings or more to draw."""
    keys = comparison.factors[:MAX_AXES]
    if len(keys) < 2 or not judged.cells["mean"].notna().any():
        return []
    figure = parallel_coordinates(
        judged.cells, keys, metric=comparison.metric, goal=comparison.goal, costs=("parameters", "seconds")
    )
    return [plain_figure(figure)]


def _stops(comparison: Comparison, curves: pd.DataFrame) -> list[Figure]:
    """The decisions of early stopping, by the metric that most of them used."""
    stops = read_stops(comparison.directory)
    if stops.empty:
        return []
    return [plain_figure(stop_figure(stops, curves, str(stops["metric"].mode()[0])))]


def _curves(comparison: Comparison, curves: pd.DataFrame) -> list[Figure]:
    """The metric's curve in training, then in validation; only those that were measured."""
    split, _, name = comparison.metric.rpartition("/")
    wanted = dict.fromkeys([f"train/{name}", f"val/{name}", comparison.metric]) if split else [comparison.metric]
    measured = [metric for metric in wanted if (curves["metric"] == metric).any()][:2]
    points = max(40, min(MAX_POINTS, CURVE_POINTS // max(1, curves["run"].nunique())))
    return [
        plain_figure(learning_curves(curves, comparison.runs, metric=metric, looks=comparison.looks, max_points=points))
        for metric in measured
    ]
