"""Parallel coordinates: every cell a line through its settings, costs and metric, brushed by dragging along an axis.

Plotly draws them by WebGL, whose shaders it compiles in the page: a content security policy needs 'unsafe-eval'.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.comparison import values_of
from lit_transformer.compare.figures.scales import round_ticks
from lit_transformer.compare.plain import label, number, printable
from lit_transformer.compare.plan import Goal
from lit_transformer.compare.statistics import rows_of
from lit_transformer.compare.style import base_layout, escape, short, si

MAX_CATEGORIES = 10
"""A setting of numbers with more distinct values is drawn to scale, else its values stand at equal distances."""
MAX_NAMES = 30
"""Ticks of a setting that is no number: more cannot be read."""
MAX_TICK = 22
"""Letters of a tick's name."""
LOG_RATIO = 100
SHARE_OF_NULL = 0.12
"""How far below the smallest number null stands, as a share of the axis."""


@dataclass(frozen=True)
class Dimension:
    """One axis: where each cell lies on it, and what is written beside it."""

    title: str
    places: list[float]
    ticks: list[float]
    names: list[str]
    """Plain text."""


def dimension(values: Sequence[object], title: str) -> Dimension:
    """The axis of a setting: few values at equal distances, many numbers to scale (by their logarithm from a ratio of
    100 on), null below the smallest, text in order."""
    known = [number(value) for value in values]
    distinct = values_of(pd.DataFrame({"value": pd.Series(list(values), dtype=object)}), "value")
    numeric = [value for value in known if math.isfinite(value)]
    names = [label(value) for value in distinct]
    others = [value for value in distinct if not math.isfinite(number(value))]
    if len(distinct) <= MAX_CATEGORIES or not numeric or any(label(value) != "null" for value in others):
        place = {name: float(index) for index, name in enumerate(names)}
        names = [_tick(number(value)) if abs(number(value)) >= 1e4 else label(value) for value in distinct]
        every = math.ceil(len(names) / MAX_NAMES)
        return Dimension(title, [place[label(value)] for value in values], [*place.values()][::every], names[::every])
    low, high = min(numeric), max(numeric)
    log = low > 0 and high / low >= LOG_RATIO
    ends = (math.log10(low), math.log10(high)) if log else (low, high)
    absent = ends[0] - SHARE_OF_NULL * ((ends[1] - ends[0]) or 1.0)
    places = [absent if not math.isfinite(value) else math.log10(value) if log else value for value in known]
    ticks = round_ticks(low, high, log=log)
    at = [math.log10(tick) if log else tick for tick in ticks]
    null = len(numeric) < len(values)
    return Dimension(
        title, places, [*([absent] if null else []), *at], [*(["null"] if null else []), *map(_tick, ticks)]
    )


def _tick(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e4 else si(value)


def parallel_coordinates(
    cells: pd.DataFrame, keys: Sequence[str], *, metric: str, goal: Goal | None, costs: Sequence[str] = ()
) -> go.Figure:
    """One line for each cell that has a number, through `keys`, `costs` and the metric, coloured by the metric.

    `cells` are those of `statistics.summarise(..., metric)`. Bright is better where `goal` is given.
    """
    drawn = [row for row in rows_of(cells) if math.isfinite(number(row["mean"]))]
    axes = [dimension([row[key] for row in drawn], short(key)) for key in keys] if drawn else []
    axes += [
        dimension([row[cost] for row in drawn], cost)
        for cost in costs
        if any(math.isfinite(number(row[cost])) for row in drawn)
    ]
    means = [float(row["mean"]) for row in drawn]
    figure = go.Figure(layout=base_layout(f"{metric} through the swept settings"))
    if not drawn:
        return figure
    low, high = min(means), max(means)
    figure.add_parcoords(
        dimensions=[
            *(_plotly(axis) for axis in axes),
            {"label": escape(metric), "values": means, "tickformat": ".4~g"},
        ],
        line={
            "color": means,
            "colorscale": "Viridis_r" if goal == "minimize" else "Viridis",
            "cmin": low,
            "cmax": high if high > low else low + (abs(low) or 1.0) * 1e-3,
            "showscale": True,
            "colorbar": {"thickness": 12, "outlinewidth": 0},
        },
        labelangle=0,
    )
    figure.update_layout(margin={"l": 70, "r": 30, "t": 84, "b": 30})
    return figure


def _shortened(name: str) -> str:
    shown = printable(name)
    return shown if len(shown) <= MAX_TICK else f"{shown[: MAX_TICK - 1]}…"


def _plotly(axis: Dimension) -> dict[str, object]:
    settings: dict[str, object] = {
        "label": escape(axis.title), "values": axis.places, "tickvals": axis.ticks,
        "ticktext": [_shortened(name) for name in axis.names],  # drawn as it stands: escaped, its entities would show
    }  # fmt: skip
    low, high = min([*axis.places, *axis.ticks]), max([*axis.places, *axis.ticks])
    return {**settings, "range": [low, high] if high > low else [low - 1, high + 1]}
