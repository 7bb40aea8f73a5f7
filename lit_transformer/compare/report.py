"""One self-contained report.html: plotly inside, no request to anywhere."""

import json
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from string import Template

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lit_transformer.compare.comparison import Comparison, default_axes, goal_of
from lit_transformer.compare.curves import MAX_POINTS, read_curves
from lit_transformer.compare.figures import MIN_SMOOTHED, against, learning_curves
from lit_transformer.compare.findings import caveat, findings, verdict
from lit_transformer.compare.heatmap import heatmap
from lit_transformer.compare.judging import Judged, judge
from lit_transformer.compare.page import results_table, run_details, script_json, text
from lit_transformer.compare.statistics import COSTS, ranked, summarise
from lit_transformer.records.atomic import write_text

MAX_METRICS = 12
MAP_BUDGET = 1_500_000
"""Bytes of maps, all pairs of settings and all metrics together; the first ones, which matter most, always fit."""
MAX_CURVES = 128
"""Runs whose curves are drawn, the best ones: more lines than these tell nothing apart and take seconds to draw."""
CURVE_POINTS = 30_000
"""Points of one figure of curves, shared among the runs."""


def write_report(comparison: Comparison, path: Path, judged: Judged | None = None) -> None:
    """Write the report on `comparison` to `path`, whole or not at all; OSError where it cannot be written."""
    write_text(path, report_html(comparison, judged))


def report_html(comparison: Comparison, judged: Judged | None = None) -> str:
    """The report as one HTML document; `judged` saves its computing where it is known."""
    judged = judged or judge(comparison)
    data = {"maps": maps(comparison), "scatter": _scatter(comparison), "curves": _curves(comparison)}
    assets = files("lit_transformer.compare") / "assets"
    page = Template((assets / "report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=text(comparison.title),
        verdict=text(verdict(comparison, judged)),
        notes="".join(f"<p class=note>{text(note)}</p>" for note in comparison.notes),
        findings="".join(f"<li>{text(said)}</li>" for said in findings(comparison, judged)),
        metric=text(comparison.metric),
        table=results_table(comparison, judged),
        caveat=text(caveat(comparison, judged)),
        curve_hint=text(_curve_hint(comparison)),
        runs=run_details(comparison, comparison.directory),
        count=len(comparison.runs),
        style=(assets / "report.css").read_text(encoding="utf-8"),
        script=(assets / "report.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
        data=script_json(data),
    )


def plain_figure(figure: go.Figure) -> dict[str, object]:
    """A figure as what Plotly.newPlot takes; NaN is null."""
    encoded: dict[str, object] = json.loads(figure.to_json(engine="json"))
    return encoded


def maps(comparison: Comparison) -> list[dict[str, object]]:
    """A heatmap for each pair of swept settings and each metric, the most asked for first: axes, metric, figure."""
    x, y = default_axes(comparison.factors)
    if x is None:
        return []
    pairs: list[tuple[str, str | None]] = [(x, y)]
    pairs += [pair for pair in combinations(comparison.factors, 2) if {*pair} != {x, y}]
    names = [comparison.metric, *(name for name in comparison.metrics if name != comparison.metric)][:MAX_METRICS]
    shown = [*names, *(name for name in COSTS if comparison.runs[name].notna().any())]
    summaries = {metric: summarise(*_source(comparison, metric)) for metric in shown}
    made: list[dict[str, object]] = []
    size = 0
    for across, up in pairs:
        for metric in shown:
            goal = goal_of(metric, comparison)
            figure = plain_figure(heatmap(summaries[metric], x=across, y=up, metric=metric, goal=goal))
            size += len(json.dumps(figure))
            if made and size > MAP_BUDGET:
                return made
            axes = f"{up} over {across}" if up else across
            made.append({"axes": axes, "metric": metric, "figure": figure})
    return made


def _source(comparison: Comparison, metric: str) -> tuple[pd.DataFrame, list[str], str]:
    return comparison.runs, comparison.cell_keys, metric


def _scatter(comparison: Comparison) -> list[dict[str, object]]:
    cells = summarise(comparison.runs, comparison.cell_keys, comparison.metric)
    return [
        plain_figure(
            against(cells, cost=cost, metric=comparison.metric, looks=comparison.looks, legend=cost == "flops")
        )
        for cost in ("parameters", "flops")
    ]


def _curves(comparison: Comparison) -> list[dict[str, object]]:
    """The metric's curve in training, then in validation; only those that were measured."""
    best = ranked(summarise(comparison.runs, ["run"], comparison.metric), comparison.goal)["run"][:MAX_CURVES]
    runs = comparison.runs[comparison.runs["run"].isin(best)]
    curves = read_curves(comparison.directory, runs)
    split, _, name = comparison.metric.rpartition("/")
    wanted = dict.fromkeys([f"train/{name}", f"val/{name}", comparison.metric]) if split else [comparison.metric]
    measured = [metric for metric in wanted if (curves["metric"] == metric).any()][:2]
    points = max(40, min(MAX_POINTS, CURVE_POINTS // max(1, len(runs))))
    return [
        plain_figure(learning_curves(curves, comparison.runs, metric=metric, looks=comparison.looks, max_points=points))
        for metric in measured
    ]


def _curve_hint(comparison: Comparison) -> str:
    some = f" The {MAX_CURVES} best runs are drawn." if len(comparison.runs) > MAX_CURVES else ""
    return f"Raw values are drawn faint; a curve with fewer than {MIN_SMOOTHED} points is drawn as it is.{some}"
