"""Curves of many runs in one figure: thinned to what a screen shows, in full where zoomed in, or averaged."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_transformer.compare.curves import smooth, thin
from lit_transformer.compare.style import OKABE_ITO, axis, base_layout, escape

Floats = NDArray[np.float64]
POINTS = 30_000
"""Points of one figure: a browser draws them in a third of a second."""
MOST, LEAST = 4_000, 60
"""Points of one curve."""
GRID = 300
"""Places along the axis at which groups are averaged."""
FEW = 20
"""Curves with fewer points show them as dots; they are never smoothed."""
BAND = 0.16
MAX_LEGEND = 24
EXACT = (1e-15, 1e22)
"""Sizes of numbers that are rounded by powers of ten which a float holds exactly."""


@dataclass(frozen=True)
class Curve:
    """One run's values along an axis."""

    name: str
    x: Floats
    y: Floats
    colour: str
    dash: str = "solid"
    group: str = ""
    """What the runs of one mean share; empty where each run is drawn by itself."""


@dataclass(frozen=True)
class Drawn:
    """How curves are drawn."""

    metric: str
    axis: str = "step"
    smoothing: float = 0.0
    log_x: bool = False
    log_y: bool = False
    window: tuple[float, float] | None = None
    """The part of the axis that is zoomed in on."""


Trace = dict[str, Any]


def curve_figure(curves: Sequence[Curve], how: Drawn) -> dict[str, Any]:
    """The figure of `curves`; with groups their means with a band of one sample standard deviation.

    As plain dicts: plotly's own classes check each value, which takes seconds for hundreds of curves.
    """
    traces: list[Trace] = []
    groups = list(dict.fromkeys(curve.group for curve in curves if curve.group))
    if groups:
        for place, name in enumerate(groups):
            members = [_smoothed(curve, how) for curve in curves if curve.group == name]
            traces += _group(name, members, OKABE_ITO[place % len(OKABE_ITO)], how)
    else:
        points = int(min(MOST, max(LEAST, POINTS // max(1, len(curves)))))
        for curve in curves:
            traces.append(_line(_smoothed(curve, how), how, points, legend=len(curves) <= MAX_LEGEND))
    across = axis(how.axis, type="log" if how.log_x else "linear")
    if how.window:
        across |= {"range": [math.log10(end) if how.log_x else end for end in how.window], "autorange": False}
    layout = {
        **base_layout(how.metric),
        "xaxis": across,
        "yaxis": axis("", type="log" if how.log_y else "linear"),
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "font": {"size": 11}},
        "margin": {"l": 56, "r": 12, "t": 36, "b": 90 if len(groups or curves) <= MAX_LEGEND else 46},
        "hovermode": "closest",
        "showlegend": True,
        "uirevision": f"{how.axis} {how.log_x} {how.log_y} {how.metric}",
    }
    layout.pop("template")  # a name that only plotly's classes know
    return {"data": traces, "layout": layout}


def _smoothed(curve: Curve, how: Drawn) -> Curve:
    """The curve without the points that have no place, in the order of the axis, smoothed."""
    kept = np.isfinite(curve.x) & ((curve.x > 0) if how.log_x else True)
    x, y = curve.x[kept], curve.y[kept]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if how.smoothing and int(np.isfinite(y).sum()) >= FEW:
        y = smooth(y, how.smoothing)
    return Curve(curve.name, x, y, curve.colour, curve.dash, curve.group)


def inside(x: Floats, window: tuple[float, float] | None) -> slice:
    """The points in a window of an ascending axis, and one on each side so that lines reach its edge."""
    if window is None:
        return slice(0, len(x))
    first, last = np.searchsorted(x, window[0], "left"), np.searchsorted(x, window[1], "right")
    return slice(max(0, int(first) - 1), min(len(x), int(last) + 1))


def _line(curve: Curve, how: Drawn, points: int, *, legend: bool) -> Trace:
    part = inside(curve.x, how.window)
    x, y = curve.x[part], curve.y[part]
    kept = thin(y, points)
    name = escape(curve.name)
    return {
        "type": "scatter",
        "x": _digits(x[kept]),
        "y": _digits(y[kept]),
        "name": name,
        "showlegend": legend,
        "mode": "lines+markers" if len(x) < FEW else "lines",
        "line": {"color": curve.colour, "dash": curve.dash, "width": 1.7},
        "marker": {"size": 5},
        "hovertemplate": f"{name}<br>{escape(how.axis)} %{{x}}: %{{y:.4g}}<extra></extra>",
    }


def _digits(values: Floats) -> list[float | None]:
    """Seven digits: what a zoomed screen can show, in half the bytes; NaN is a gap."""
    finite = np.isfinite(values)
    size = np.abs(np.where(finite & (values != 0), values, 1.0))
    if size.size and not (EXACT[0] < size.min() and size.max() < EXACT[1]):
        return [float(f"{value:.7g}") if math.isfinite(value) else None for value in values.tolist()]
    shift = 6 - np.floor(np.log10(size)).astype(np.int64)
    up, down = 10.0 ** np.maximum(shift, 0), 10.0 ** np.maximum(-shift, 0)
    rounded: list[float | None] = (np.rint(values * up / down) / up * down).tolist()
    return rounded if finite.all() else [value if good else None for value, good in zip(rounded, finite, strict=True)]


def _group(name: str, members: Sequence[Curve], colour: str, how: Drawn) -> list[Trace]:
    x, mean, sd, n = averaged(members, how.window)
    shown, across = escape(name), _digits(x)
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    common: Trace = {"type": "scatter", "x": across, "legendgroup": shown}
    band: Trace = {
        **common,
        "mode": "lines",
        "line": {"width": 0, "color": colour},
        "fillcolor": f"rgba({red},{green},{blue},{BAND})",
        "hoverinfo": "skip",
        "showlegend": False,
        "name": f"{shown} band",
    }
    edges = [{**band, "y": _digits(mean + sd)}, {**band, "y": _digits(mean - sd), "fill": "tonexty"}]
    told = f"{escape(how.axis)} %{{x}}: %{{y:.4g}} ± %{{customdata[0]}} (n = %{{customdata[1]}})"
    line = {
        **common,
        "y": _digits(mean),
        "mode": "lines+markers" if len(x) < FEW else "lines",
        "line": {"color": colour, "width": 2},
        "marker": {"size": 5},
        "name": f"{shown} (n = {int(n.max(initial=0))})",
        "customdata": [[float(f"{s:.3g}") if math.isfinite(s) else None, int(k)] for s, k in zip(sd, n, strict=True)],
        "hovertemplate": f"{shown}<br>{told}<extra></extra>",
    }
    return [*edges, line] if bool((n > 1).any()) else [line]


def averaged(
    members: Sequence[Curve], window: tuple[float, float] | None = None
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Mean, sample standard deviation (NaN below two) and count over runs at common places of the axis, (places,) each.

    The places are those that the runs share where they are few, else GRID ones evenly spaced; a run counts between its
    own first and last finite point, on straight lines between its points.
    """
    parts = [(curve.x[good], curve.y[good]) for curve in members if (good := np.isfinite(curve.y)).any()]
    parts = [(x[part], y[part]) for x, y in parts if len(x[part := inside(x, window)])]
    if not parts:
        return np.empty(0), np.empty(0), np.empty(0), np.empty(0, dtype=np.int64)
    places = np.unique(np.concatenate([x for x, _ in parts]))
    if len(places) > GRID:
        places = np.linspace(places[0], places[-1], GRID)
    table = np.full((len(parts), len(places)), math.nan)
    for row, (x, y) in enumerate(parts):
        covered = (places >= x[0]) & (places <= x[-1])
        table[row, covered] = np.interp(places[covered], x, y)
    count = np.isfinite(table).sum(axis=0)
    total = np.where(np.isfinite(table), table, 0.0).sum(axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), math.nan)
    squares = np.where(np.isfinite(table), (table - mean) ** 2, 0.0).sum(axis=0)
    sd = np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), math.nan)
    return places, mean, sd, count
