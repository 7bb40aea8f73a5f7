"""Learning curves, raw and smoothed."""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.curves import MAX_POINTS, smooth, thin
from lit_transformer.compare.statistics import Row, rows_of
from lit_transformer.compare.style import LEGEND, Looks, add_legend, axis, base_layout, escape, looks_of

SMOOTHING = (0.0, 0.6, 0.9)
MIN_SMOOTHED = 20
"""A curve with fewer points is drawn as it is at every smoothing: an average would only lag behind it."""
FAINT = 0.22


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
