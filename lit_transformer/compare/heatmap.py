"""The map of a sweep: one metric over any two swept settings, with the cells that have no number named in place."""

import math
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.comparison import values_of
from lit_transformer.compare.plain import label
from lit_transformer.compare.plan import Goal
from lit_transformer.compare.statistics import COSTS, best_cell, ranked
from lit_transformer.compare.style import axis, base_layout, escape, figure_of, mean_text, wrapped

STATE_COLOURS = {
    "failed": "#a4243b",
    "damaged": "#a4243b",
    "diverged": "#c2571a",
    "running": "#4a6fa5",
    "stopped": "#6c7a89",
    "pruned": "#6c7a89",
    "impossible": "#8a8f98",
    "missing": "#d5d9df",
}
OUTLINE = "#D55E00"


@dataclass(frozen=True)
class Tile:
    """One field of the map."""

    value: float
    status: str
    text: str
    hover: str


def heatmap(cells: pd.DataFrame, *, x: str, y: str | None, metric: str, goal: Goal | None) -> go.Figure:
    """`metric` over the settings `x` and `y` (None draws one row), annotated; bright is better where `goal` says which way.

    `cells` are those of `statistics.summarise(..., metric)`. Where several cells share a tile, because more settings
    were swept, the best complete one by `goal` is drawn (their mean where `goal` is None) and the hover says so.
    """
    columns = [label(value) for value in values_of(cells, x)]
    lines = [label(value) for value in values_of(cells, y)] if y else [""]
    tiles = _tiles(cells, x, y, metric, goal)
    figure = go.Figure(layout=base_layout(_title(metric, goal)))
    _add_trace(figure, tiles, columns, lines, None, _scale(metric, goal))
    states = dict.fromkeys(tile.status for tile in tiles.values() if math.isnan(tile.value))
    for status in states:
        colour = STATE_COLOURS.get(status, "#8a8f98")
        ink = "#1b1f24" if status == "missing" else "#ffffff"
        flat = {"colorscale": [[0, colour], [1, colour]], "showscale": False, "textfont": {"color": ink}}
        _add_trace(figure, tiles, columns, lines, status, flat)
    figure.update_traces(xgap=3, ygap=3, textfont_size=_text_size(len(columns)))
    shown = {"type": "category", "showgrid": False, "ticks": ""}
    figure.update_layout(
        xaxis=axis(x, **shown, categoryorder="array", categoryarray=[escape(value) for value in columns]),
        yaxis=axis(y or "", **shown, categoryorder="array", categoryarray=[escape(value) for value in lines]),
    )
    _outline_best(figure, tiles, columns, lines, goal)
    return figure


def _title(metric: str, goal: Goal | None) -> str:
    better = {"minimize": ", lower is better", "maximize": ", higher is better", None: ""}[goal]
    return f"{metric}{better}"


def _scale(metric: str, goal: Goal | None) -> dict[str, object]:
    return {
        "colorscale": "Viridis_r" if goal == "minimize" else "Viridis",
        "colorbar": {"thickness": 12, "outlinewidth": 0, "tickformat": ".3~s" if metric in COSTS else "", "len": 1},
        "name": escape(metric),
    }


def _text_size(columns: int) -> int:
    return 17 if columns <= 5 else 14 if columns <= 8 else 11 if columns <= 12 else 9


def _tiles(
    cells: pd.DataFrame, x: str, y: str | None, metric: str, goal: Goal | None
) -> dict[tuple[str, str], Tile]:
    places: dict[tuple[str, str], list[int]] = {}
    for index in range(len(cells)):
        row = cells.iloc[index]
        places.setdefault((label(row[y]) if y else "", label(row[x])), []).append(index)
    return {place: _tile(cells.iloc[indices], x, y, metric, goal) for place, indices in places.items()}


def _tile(group: pd.DataFrame, x: str, y: str | None, metric: str, goal: Goal | None) -> Tile:
    row = ranked(group, goal or "minimize").iloc[0]
    value, sd, status = float(row["mean"]), float(row["sd"]), str(row["status"])
    reduced = ""
    if len(group) > 1:
        reduced = f"{'mean' if goal is None else 'best'} of {len(group)} cells"
        if goal is None:
            value, sd = float(group["mean"].mean()), math.nan
    provisional = status != "complete" and math.isfinite(value)
    text = [figure_of(metric, value)] if math.isfinite(value) else [escape(status if status != "complete" else "no value")]
    text += [f"± {figure_of(metric, sd)}"] if math.isfinite(sd) else []
    text += [f"({escape(status)})"] if provisional else []
    hover = [f"{escape(key)} = {escape(row[key])}" for key in (x, y) if key]
    hover.append(f"{escape(metric)}: {mean_text(metric, value, sd) or 'no value'}" + (f" (n = {row['n']})" if row["n"] > 1 else ""))
    hover += [reduced] if reduced else []
    hover.append(f"status: {escape(status)}")
    hover += [wrapped(str(row["detail"]))] if row["detail"] else []
    return Tile(value=value, status=status, text="<br>".join(text), hover="<br>".join(hover))


def _add_trace(
    figure: go.Figure,
    tiles: dict[tuple[str, str], Tile],
    columns: list[str],
    lines: list[str],
    status: str | None,
    settings: dict[str, object],
) -> None:
    """Draw the tiles with a number (`status` None) or those of one status without."""

    def drawn(tile: Tile | None) -> bool:
        return tile is not None and (math.isnan(tile.value) if status == tile.status else status is None and math.isfinite(tile.value))

    grid = [[tiles.get((line, column)) for column in columns] for line in lines]
    figure.add_heatmap(
        x=[escape(value) for value in columns],
        y=[escape(value) for value in lines],
        z=[[(tile.value if status is None else 0) if tile and drawn(tile) else None for tile in row] for row in grid],
        text=[[tile.text if tile and drawn(tile) else "" for tile in row] for row in grid],
        hovertext=[[tile.hover if tile and drawn(tile) else "" for tile in row] for row in grid],
        texttemplate="%{text}",
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        **settings,
    )


def _outline_best(
    figure: go.Figure,
    tiles: dict[tuple[str, str], Tile],
    columns: list[str],
    lines: list[str],
    goal: Goal | None,
) -> None:
    if goal is None:
        return
    places = list(tiles)
    frame = pd.DataFrame({"mean": [tile.value for tile in tiles.values()], "status": [tile.status for tile in tiles.values()]})
    best = best_cell(frame, goal)
    if best is None:
        return
    line, column = places[best]
    left, bottom = columns.index(column) - 0.5, lines.index(line) - 0.5
    figure.add_shape(
        type="rect", x0=left, x1=left + 1, y0=bottom, y1=bottom + 1, line={"color": OUTLINE, "width": 3}, name="best"
    )
