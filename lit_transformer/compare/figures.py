"""Learning curves, and a metric against what it cost; pure functions from data to a plotly figure."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.curves import MAX_POINTS, smooth, thin
from lit_transformer.compare.statistics import Row, rows_of
from lit_transformer.compare.style import (
    Looks,
    add_legend,
    axis,
    base_layout,
    escape,
    figure_of,
    looks_of,
    mean_text,
    si,
)

SMOOTHING = (0.0, 0.6, 0.9)
MIN_SMOOTHED = 20
"""A curve with fewer points is drawn as it is at every smoothing: an average would only lag behind it."""
FAINT = 0.22
LEGEND = {
    "orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom",
    "itemclick": False, "itemdoubleclick": False, "font": {"size": 11},
}  # fmt: skip


def learning_curves(
    curves: pd.DataFrame,
    runs: pd.DataFrame,
    *,
    metric: str,
    looks: list[str],
    smoothing: float = 0.6,
    levels: tuple[float, ...] = SMOOTHING,
    max_points: int = MAX_POINTS,
) -> go.Figure:
    """`metric` over steps, one line a run, raw drawn faint under its moving average.

    `curves` and `runs` are those of `read_curves` and `read_runs`; `looks` names the settings that decide colour and
    dash. Every level of `levels` is in the figure, `smoothing` is the one shown; each trace's `meta` says its `level`
    (0 is raw) and whether it is `alone`, never smoothed, so that a page can switch levels without drawing anew.
    """
    style = looks_of(runs, looks)
    figure = go.Figure(layout=base_layout(metric))
    measured = curves[curves["metric"] == metric]
    by_run = dict(iter(measured.groupby("run", sort=False)))
    for row in rows_of(runs):
        points = by_run.get(row["run"])
        if points is not None:
            _add_curve(figure, points, row, style, smoothing=smoothing, levels=levels, max_points=max_points)
    add_legend(figure, style, "lines")
    figure.update_layout(
        xaxis=axis("step", rangemode="tozero"),
        yaxis=axis(""),
        legend=LEGEND,
    )
    return figure


def _add_curve(
    figure: go.Figure,
    points: pd.DataFrame,
    row: Row,
    style: Looks,
    *,
    smoothing: float,
    levels: tuple[float, ...],
    max_points: int,
) -> None:
    steps, values = points["step"].to_numpy(), points["value"].to_numpy(dtype=float)
    kept = thin(values, max_points)
    alone = int(np.isfinite(values).sum()) < MIN_SMOOTHED
    name = ", ".join(escape(row[key]) if key == "run" else f"{escape(key)} = {escape(row[key])}" for key in style.keys)
    if "run" not in style.keys:
        name += f"<br>{escape(row['run'])}"
    line = {"color": style.colour(row), "dash": style.dash(row)}
    for level in (0.0,) if alone else levels:
        drawn = smooth(values, level)[kept]
        raw = level == 0.0
        figure.add_scatter(
            x=steps[kept].tolist(),
            y=[_rounded(value) for value in drawn],
            mode="lines+markers" if len(kept) < MIN_SMOOTHED else "lines",
            line={**line, "width": 1.8},
            marker={"size": 5},
            opacity=1.0 if alone or not raw or smoothing == 0.0 else FAINT,
            visible=raw or level == smoothing,
            meta={"level": level, "alone": alone},
            name=escape(row["run"]),
            showlegend=False,
            hovertemplate=f"{name}<br>step %{{x}}: %{{y:.4g}}<extra></extra>",
            hoverinfo="skip" if raw and not alone and smoothing else None,
        )


def _rounded(value: float) -> float | None:
    """Six digits: what a screen can show, in half the bytes."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def against(cells: pd.DataFrame, *, cost: str, metric: str, looks: list[str], legend: bool = True) -> go.Figure:
    """`metric` of each cell against a cost such as `parameters` or `flops`, both axes logarithmic where they can be.

    `cells` are those of `statistics.summarise(..., metric)`; error bars are one standard deviation over seeds.
    """
    style = looks_of(cells, looks)
    title = {"parameters": "parameters", "flops": "training FLOPs"}.get(cost, cost)
    figure = go.Figure(layout=base_layout(f"{metric} against {title}"))
    drawn = cells[cells["mean"].notna() & cells[cost].notna()]
    for row in rows_of(drawn):
        mean, sd = float(row["mean"]), float(row["sd"])
        name = ", ".join(f"{escape(key)} = {escape(row[key])}" for key in style.keys)
        hover = f"{name}<br>{escape(metric)}: {mean_text(metric, mean, sd)}<br>{escape(title)}: {si(float(row[cost]))}"
        figure.add_scatter(
            x=[float(row[cost])],
            y=[mean],
            mode="markers",
            marker={"color": style.colour(row), "size": 10, "symbol": style.symbol(row)},
            error_y={"type": "data", "array": [sd], "thickness": 1.2, "visible": math.isfinite(sd)},
            name=name,
            showlegend=False,
            hovertemplate=f"{hover}<br>status: {escape(row['status'])}<extra></extra>",
        )
    if legend:
        add_legend(figure, style, "markers")
    figure.update_layout(
        legend=LEGEND, xaxis=_log_axis(title, drawn[cost].tolist()), yaxis=_log_axis("", drawn["mean"].tolist(), metric)
    )
    return figure


def _log_axis(title: str, values: list[float], metric: str | None = None) -> dict[str, object]:
    """A logarithmic axis with labels at round values; a linear one where a value is not positive."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0:
        return axis(title)
    low, high = math.log10(min(finite)), math.log10(max(finite))
    pad = 0.08 * (high - low) or 0.05
    ticks = _own_ticks(finite) or _ticks(10 ** (low - pad), 10 ** (high + pad))
    text = [figure_of(metric, tick).rstrip("0").rstrip(".") if metric and "/" in metric else si(tick) for tick in ticks]
    return axis(title, type="log", range=[low - pad, high + pad], tickvals=ticks, ticktext=text)


def _own_ticks(values: list[float]) -> list[float]:
    """The values themselves where they are few and far enough apart for their labels."""
    distinct = sorted(set(values))
    total = math.log10(distinct[-1] / distinct[0]) if distinct else 0.0
    gaps = [math.log10(b / a) for a, b in pairwise(distinct)]
    return distinct if len(distinct) <= 6 and all(gap > 0.16 * total for gap in gaps) else []


def _ticks(low: float, high: float) -> list[float]:
    """About five round values between `low` and `high`: 1, 2, 5 a decade over decades, evenly spaced within one."""
    if high / low > 20:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (1, 2, 5) if high / low < 2e3 else (1,)
        return [
            factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high
        ]
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first = math.ceil(low / step)
    return [float(f"{step * index:.10g}") for index in range(first, math.floor(high / step) + 1)]
