"""The decisions of early stopping: every trial's values, where it was compared, and where it ended."""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.curves import thin
from lit_transformer.compare.statistics import Row, rows_of
from lit_transformer.compare.style import LEGEND, OKABE_ITO, axis, base_layout, escape, figure_of

MAX_LINES = 200
WENT_ON, STOPPED = OKABE_ITO[0], OKABE_ITO[5]
POINTS = 200


def stop_figure(stops: pd.DataFrame, curves: pd.DataFrame, metric: str) -> go.Figure:
    """`metric` of every run over its number of logged values, with the bands, each stop, and the threshold it missed.

    `stops` are those of `stops.read_stops`, `curves` of `curves.read_curves`; trials stopped by another metric are left
    out. A trial that was stopped several times, because it was taken up again, shows its last stop.
    """
    figure = go.Figure(layout=base_layout(f"Stopped early by {metric}"))
    judged = {row["run"]: row for row in rows_of(stops[stops["metric"] == metric])}
    values = curves[(curves["metric"] == metric) & np.isfinite(curves["value"])]
    histories = {str(run): part["value"].to_numpy() for run, part in values.groupby("run", sort=False)}
    ended = dict(sorted(histories.items(), key=lambda item: item[0] not in judged)[:MAX_LINES])
    for stopped in (False, True):  # those that were stopped lie on top
        for run, history in ended.items():
            if (run in judged) == stopped:
                _add_line(figure, run, history, stopped)
    for band in sorted({int(row["band"]) for row in judged.values()}):
        figure.add_vline(x=band, line={"color": "rgba(128,128,128,0.5)", "width": 1, "dash": "dot"})
    _add_stops(figure, judged, metric)
    for name, colour in (("went on", WENT_ON), ("stopped", STOPPED)):
        figure.add_scatter(x=[None], y=[None], mode="lines", line={"color": colour}, name=name)
    figure.update_layout(
        xaxis=axis(f"logged values of {metric}", rangemode="tozero"), yaxis=axis(""), legend=LEGEND,
    )  # fmt: skip
    return figure


def _add_line(figure: go.Figure, run: str, history: np.ndarray, stopped: bool) -> None:
    kept = thin(history, POINTS)
    figure.add_scatter(
        x=(kept + 1).tolist(),
        y=[float(f"{value:.6g}") for value in history[kept]],
        mode="lines",
        line={"color": STOPPED if stopped else WENT_ON, "width": 1.2},
        opacity=0.75 if stopped else 0.45,
        name=escape(run),
        showlegend=False,
        hovertemplate=f"{escape(run)}<br>value %{{x}}: %{{y:.4g}}<extra></extra>",
    )


def _add_stops(figure: go.Figure, judged: dict[str, Row], metric: str) -> None:
    """A cross where each trial missed a threshold, and a dash at the threshold."""
    rows = [row for row in judged.values() if math.isfinite(row["value"])]
    hovers = [
        f"{escape(row['run'])}<br>{escape(row['rule'])} at band {row['band']}: {figure_of(metric, row['value'])} "
        f"missed {figure_of(metric, row['threshold'])} (rank {escape(row['rank'])} of {escape(row['of'])})"
        for row in rows
    ]
    for name, symbol, key in (("stop", "x", "value"), ("threshold", "line-ew-open", "threshold")):
        figure.add_scatter(
            x=[row["band"] for row in rows],
            y=[row[key] if math.isfinite(row[key]) else None for row in rows],
            mode="markers",
            marker={"symbol": symbol, "size": 9, "color": STOPPED, "line": {"width": 2, "color": STOPPED}},
            name=name,
            hovertext=hovers,
            hovertemplate="%{hovertext}<extra></extra>",
        )
