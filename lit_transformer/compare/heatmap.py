"""The map of a sweep: one metric over any two swept settings, with the cells that have no number named in place."""

import math
import statistics
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.comparison import values_of
from lit_transformer.compare.plain import label
from lit_transformer.compare.plan import Goal
from lit_transformer.compare.statistics import COSTS, Row, mean_sd, merit, rows_of
from lit_transformer.compare.style import axis, base_layout, escape, mean_text, wrapped

OTHER_STATE = "#667483"
STATE_COLOURS = {
    "failed": "#a4243b",
    "damaged": "#a4243b",
    "diverged": "#bb5419",
    "running": "#4a6fa5",
    "stopped": OTHER_STATE,
    "pruned": OTHER_STATE,
    "impossible": "#5d646d",
    "missing": "#d5d9df",
}
Reducer = Literal["best", "mean", "median", "count"]
"""What a tile shows of several cells, because more settings were swept: `count` how many of them are complete."""
REDUCERS: tuple[Reducer, ...] = get_args(Reducer)
OUTLINE = "#D55E00"
INKS = {"bright": "#000000", "dark": "#ffffff"}
"""Text on a bright and on a dark tile; one trace each, since a heatmap has one text colour."""
DARK_SHARE = 0.44
"""Below this share of the Viridis scale white text has a contrast of 4.5, from it on black text has."""


@dataclass(frozen=True)
class Tile:
    """One field of the map."""

    value: float
    status: str
    text: str
    hover: str
    cells: int = 1
    standing: str = ""


def heatmap(
    cells: pd.DataFrame, *, x: str, y: str | None, metric: str, goal: Goal | None, reducer: Reducer = "best"
) -> go.Figure:
    """`metric` over the settings `x` and `y` (None draws one row), annotated; bright is better where `goal` is given.

    `cells` are those of `statistics.summarise(..., metric)`, or of `judging.judge`, whose cells that cannot be told
    from the best get a dashed outline. Where several cells share a tile, because more settings were swept, `reducer`
    says what of them is drawn (`best` by `goal`, their mean where it is None) and the hover says so.
    """
    goal = None if reducer == "count" else goal
    columns = [label(value) for value in values_of(cells, x)]
    lines = [label(value) for value in values_of(cells, y)] if y else [""]
    tiles = _tiles(cells, x, y, metric, goal, reducer)
    several = max((tile.cells for tile in tiles.values()), default=1) > 1
    figure = go.Figure(layout=base_layout(_title(metric, goal, reducer if several or reducer == "count" else None)))
    figure.update_layout(coloraxis=_scale(metric, goal, tiles))
    span = _range(tiles)
    kinds = {place: _kind(tile, span, goal) for place, tile in tiles.items()}
    for kind in dict.fromkeys(kinds.values()):
        settings = _scaled(kind) if kind in INKS else _flat(kind)
        drawn = {place: tile for place, tile in tiles.items() if kinds[place] == kind}
        _add_trace(figure, drawn, columns, lines, settings)
    figure.update_traces(xgap=3, ygap=3, textfont_size=_text_size(len(columns)))
    shown = {"type": "category", "showgrid": False, "ticks": ""}
    figure.update_layout(
        xaxis=axis(x, **shown, categoryorder="array", categoryarray=[escape(value) for value in columns]),
        yaxis=axis(y or "", **shown, categoryorder="array", categoryarray=[escape(value) for value in lines]),
    )
    _outline_best(figure, tiles, columns, lines, goal)
    return figure


def _title(metric: str, goal: Goal | None, reducer: Reducer | None) -> str:
    better = {"minimize": ", lower is better", "maximize": ", higher is better", None: ""}[goal]
    if reducer == "count":
        return f"complete cells with {metric}"
    return f"{reducer + ' ' if reducer else ''}{metric}{better}"


def _range(tiles: dict[tuple[str, str], Tile]) -> tuple[float, float]:
    values = [tile.value for tile in tiles.values() if math.isfinite(tile.value)]
    return (min(values), max(values)) if values else (0.0, 1.0)


def _scale(metric: str, goal: Goal | None, tiles: dict[tuple[str, str], Tile]) -> dict[str, object]:
    low, high = _range(tiles)
    return {
        "colorscale": "Viridis_r" if goal == "minimize" else "Viridis",
        "cmin": low,
        "cmax": high if high > low else low + (abs(low) or 1.0) * 1e-3,
        "showscale": any(math.isfinite(tile.value) for tile in tiles.values()),
        "colorbar": {"thickness": 12, "outlinewidth": 0, "tickformat": ".3~s" if metric in COSTS else ""},
    }


def _kind(tile: Tile, span: tuple[float, float], goal: Goal | None) -> str:
    """Which trace draws a tile: `bright` or `dark` where it has a number, else its status."""
    if not math.isfinite(tile.value):
        return tile.status
    low, high = span
    share = (tile.value - low) / (high - low) if high > low else 0.0
    return "dark" if (1 - share if goal == "minimize" else share) < DARK_SHARE else "bright"


def _scaled(kind: str) -> dict[str, object]:
    return {"coloraxis": "coloraxis", "textfont": {"color": INKS[kind]}}


def _flat(status: str) -> dict[str, object]:
    colour = STATE_COLOURS.get(status, OTHER_STATE)
    ink = INKS["bright" if status == "missing" else "dark"]
    return {"colorscale": [[0, colour], [1, colour]], "showscale": False, "textfont": {"color": ink}}


def _text_size(columns: int) -> int:
    return 17 if columns <= 5 else 14 if columns <= 8 else 11 if columns <= 12 else 9


def _tiles(
    cells: pd.DataFrame, x: str, y: str | None, metric: str, goal: Goal | None, reducer: Reducer
) -> dict[tuple[str, str], Tile]:
    places: dict[tuple[str, str], list[Row]] = {}
    for row in rows_of(cells):
        places.setdefault((label(row[y]) if y else "", label(row[x])), []).append(row)
    keys = [key for key in (x, y) if key]
    return {place: _tile(group, keys, metric, goal, reducer) for place, group in places.items()}


def _tile(group: list[Row], keys: list[str], metric: str, goal: Goal | None, reducer: Reducer) -> Tile:
    if reducer == "count":
        return _counted(group, keys)
    row = min(group, key=lambda row: merit(row, goal or "minimize"))
    value, sd, status = row["mean"], row["sd"], row["status"]
    shown = "mean" if reducer == "best" and goal is None else reducer
    if len(group) > 1 and shown != "best":
        counted = [other["mean"] for other in group if other["status"] == "complete"] or [value]
        finite = [number for number in counted if math.isfinite(number)]
        value = statistics.median(finite) if shown == "median" and finite else mean_sd(finite)[0]
        sd = math.nan
    known = math.isfinite(value)
    shown_as = mean_text(metric, value, sd).replace(" ±", "<br>±")
    text = [shown_as if known else escape(status if status != "complete" else "no value")]
    text += [f"({escape(status)})"] if known and status != "complete" else []
    hover = [f"{escape(key)} = {escape(row[key])}" for key in keys]
    seeds = f" (n = {row['n']})" if row["n"] > 1 else ""
    hover.append(f"{escape(metric)}: {mean_text(metric, value, sd) or 'no value'}{seeds}")
    hover += [f"{shown} of {len(group)} cells"] if len(group) > 1 else []
    hover.append(f"status: {escape(status)}")
    hover += [wrapped(row["detail"])] if row["detail"] else []
    standing = str(row.get("standing", ""))
    hover += [f"against the best cell: {escape(standing)}"] if standing else []
    return Tile(value, status, "<br>".join(text), "<br>".join(hover), cells=len(group), standing=standing)


def _counted(group: list[Row], keys: list[str]) -> Tile:
    """How many cells of a tile are complete with a number."""
    count = sum(row["status"] == "complete" and math.isfinite(row["mean"]) for row in group)
    hover = [f"{escape(key)} = {escape(group[0][key])}" for key in keys]
    hover.append(f"{count} of {len(group)} cells are complete")
    return Tile(float(count), "complete", str(count), "<br>".join(hover), cells=len(group))


def _add_trace(
    figure: go.Figure,
    tiles: dict[tuple[str, str], Tile],
    columns: list[str],
    lines: list[str],
    settings: dict[str, object],
) -> None:
    grid = [[tiles.get((line, column)) for column in columns] for line in lines]
    figure.add_heatmap(
        x=[escape(value) for value in columns],
        y=[escape(value) for value in lines],
        z=[[_height(tile) if tile else None for tile in row] for row in grid],
        text=[[tile.text if tile else "" for tile in row] for row in grid],
        hovertext=[[tile.hover if tile else "" for tile in row] for row in grid],
        texttemplate="%{text}",
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        **settings,
    )


def _height(tile: Tile) -> float:
    return tile.value if math.isfinite(tile.value) else 0.0


def _outline_best(
    figure: go.Figure,
    tiles: dict[tuple[str, str], Tile],
    columns: list[str],
    lines: list[str],
    goal: Goal | None,
) -> None:
    if goal is None:
        return
    keys = {place: merit({"mean": tile.value, "status": tile.status}, goal) for place, tile in tiles.items()}
    best = min(keys, key=keys.__getitem__, default=None)
    if best is None or keys[best][0] > 0:
        return
    _outline(figure, best, columns, lines, name="best", dash="solid")
    for place, tile in tiles.items():
        if place != best and tile.standing == "not told apart":
            _outline(figure, place, columns, lines, name="not told apart from the best", dash="dot")


def _outline(
    figure: go.Figure, place: tuple[str, str], columns: list[str], lines: list[str], *, name: str, dash: str
) -> None:
    left, bottom = columns.index(place[1]) - 0.5, lines.index(place[0]) - 0.5
    line = {"color": OUTLINE, "width": 3, "dash": dash}
    figure.add_shape(type="rect", x0=left, x1=left + 1, y0=bottom, y1=bottom + 1, line=line, name=name)
