"""A metric against what it cost, with the cells that none beats at their cost."""

import math
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.figures.scales import log_axis
from lit_transformer.compare.plan import Goal
from lit_transformer.compare.statistics import Row, rows_of
from lit_transformer.compare.style import LEGEND, Looks, add_legend, base_layout, escape, looks_of, mean_text, si

TITLES = {"parameters": "parameters", "flops": "training FLOPs", "seconds": "seconds of training"}
FRONT = "#8a8f98"


def pareto_front(costs: Sequence[float], values: Sequence[float], goal: Goal) -> list[int]:
    """Positions of the points that no other beats in value at the same or a lower cost, in order of cost.

    Of equal points the first one stands for all; points with a value or cost that is not finite are left out.
    """
    sign = 1.0 if goal == "minimize" else -1.0
    known = [index for index in range(len(costs)) if math.isfinite(costs[index]) and math.isfinite(values[index])]
    front: list[int] = []
    best = math.inf
    for index in sorted(known, key=lambda index: (costs[index], sign * values[index], index)):
        if sign * values[index] < best:
            best = sign * values[index]
            front.append(index)
    return front


def against(
    cells: pd.DataFrame, *, cost: str, metric: str, looks: list[str], goal: Goal | None = None, legend: bool = True
) -> go.Figure:
    """`metric` of each cell against a cost (`parameters`, `flops`, `seconds`), both axes logarithmic where they can be.

    `cells` are those of `statistics.summarise(..., metric)`; error bars are one standard deviation over seeds. With a
    `goal` the Pareto front is marked: the cells that none beats at their cost.
    """
    style = looks_of(cells, looks)
    title = TITLES.get(cost, cost)
    figure = go.Figure(layout=base_layout(f"{metric} against {title}"))
    drawn = cells[cells["mean"].notna() & cells[cost].notna()]
    if goal is not None:
        _add_front(figure, drawn, cost, goal, legend)
    by_colour: dict[str, list[Row]] = {}
    for row in rows_of(drawn):
        by_colour.setdefault(style.colour(row), []).append(row)
    for colour, rows in by_colour.items():
        _add_points(figure, rows, colour, style, cost, metric)
    if legend:
        add_legend(figure, style, "markers")
    figure.update_layout(
        legend=LEGEND, xaxis=log_axis(title, drawn[cost].tolist()), yaxis=log_axis("", drawn["mean"].tolist(), metric)
    )
    return figure


def _add_points(figure: go.Figure, rows: list[Row], colour: str, style: Looks, cost: str, metric: str) -> None:
    """The cells of one colour: a trace each would take a second to draw where they are many."""
    sds = [float(row["sd"]) for row in rows]
    figure.add_scatter(
        x=[float(row[cost]) for row in rows],
        y=[float(row["mean"]) for row in rows],
        mode="markers",
        marker={"color": colour, "size": 10, "symbol": [style.symbol(row) for row in rows]},
        error_y={"type": "data", "array": sds, "thickness": 1.2, "visible": any(map(math.isfinite, sds))},
        name=", ".join(f"{escape(key)} = {escape(rows[0][key])}" for key in style.keys[:1]),
        showlegend=False,
        hovertext=[_hover(row, style, cost, metric) for row in rows],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _hover(row: Row, style: Looks, cost: str, metric: str) -> str:
    name = ", ".join(f"{escape(key)} = {escape(row[key])}" for key in style.keys)
    value = f"{escape(metric)}: {mean_text(metric, float(row['mean']), float(row['sd']))}"
    spent = f"{escape(TITLES.get(cost, cost))}: {si(float(row[cost]))}"
    return f"{name}<br>{value}<br>{spent}<br>status: {escape(row['status'])}"


def _add_front(figure: go.Figure, drawn: pd.DataFrame, cost: str, goal: Goal, legend: bool) -> None:
    """A dotted line through the complete cells that none beats at their cost, and rings around them."""
    complete = drawn[drawn["status"] == "complete"]
    costs, values = complete[cost].astype(float).tolist(), complete["mean"].tolist()
    front = pareto_front(costs, values, goal)
    if len(front) < 2:
        return
    figure.add_scatter(
        x=[costs[index] for index in front],
        y=[values[index] for index in front],
        mode="lines+markers",
        line={"color": FRONT, "width": 1.4, "dash": "dot"},
        marker={"size": 16, "symbol": "circle-open", "color": FRONT},
        name="Pareto front",
        showlegend=legend,
        hoverinfo="skip",
    )
