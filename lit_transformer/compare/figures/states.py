"""The map of a sweep's cells by state: what is done, runs, failed, is missing or cannot be."""

from collections import Counter
from collections.abc import Iterable

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.comparison import values_of
from lit_transformer.compare.heatmap import INKS, OTHER_STATE, STATE_COLOURS
from lit_transformer.compare.plain import label
from lit_transformer.compare.statistics import WORST_FIRST, Row, rows_of
from lit_transformer.compare.style import axis, base_layout, escape, wrapped

COMPLETE = "#1a7f5a"
MAX_LEVELS = 24
"""A setting with more values makes no map; the cells then stand in the order of the plan."""
ROW = 20
"""Cells in a line of a map without axes."""
MAX_NAMED = 6
"""Runs of a tile that its hover names."""

Place = tuple[str, str]


def state_map(runs: pd.DataFrame, *, x: str | None, y: str | None) -> go.Figure:
    """The runs of `read_runs` as tiles over the settings `x` and `y`, each in the colour of its most urgent state.

    Without axes, or where a setting has more than 24 values, the runs stand one after another, 20 in a line.
    """
    axes = [key for key in (x, y) if key]
    drawn_over = bool(axes) and all(runs[key].map(label).nunique() <= MAX_LEVELS for key in axes)
    places: dict[Place, list[Row]] = {}
    for index, row in enumerate(rows_of(runs)):
        at = (_value(row, y), _value(row, x)) if drawn_over else (str(index // ROW), str(index % ROW))
        places.setdefault(at, []).append(row)
    if drawn_over:
        columns = [label(value) for value in values_of(runs, x)] if x else [""]
        lines = [label(value) for value in values_of(runs, y)] if y else [""]
    else:
        columns, lines = (list(dict.fromkeys(place[part] for place in places)) for part in (1, 0))
    figure = go.Figure(layout=base_layout("State of the cells"))
    urgent = {place: most_urgent(row["status"] for row in rows) for place, rows in places.items()}
    for status in sorted(set(urgent.values()), key=_urgency):
        _add(figure, status, {place: places[place] for place in places if urgent[place] == status}, columns, lines)
    titles = (x or "", y or "") if drawn_over else ("", "")
    shown = {"type": "category", "showgrid": False, "ticks": "", "showticklabels": drawn_over}
    figure.update_layout(
        xaxis=axis(titles[0], **shown, categoryorder="array", categoryarray=[escape(value) for value in columns]),
        yaxis=axis(
            titles[1], **shown, categoryorder="array", categoryarray=[escape(value) for value in lines],
            **({} if drawn_over else {"autorange": "reversed"}),
        ),
    )  # fmt: skip
    return figure


def _value(row: Row, key: str | None) -> str:
    return label(row[key]) if key else ""


def most_urgent(statuses: Iterable[object]) -> str:
    """The state that a tile of several runs shows."""
    return min((str(status) for status in statuses), key=_urgency)


def _urgency(status: str) -> int:
    return WORST_FIRST.index(status) if status in WORST_FIRST else len(WORST_FIRST)


def _add(figure: go.Figure, status: str, places: dict[Place, list[Row]], columns: list[str], lines: list[str]) -> None:
    colour = COMPLETE if status == "complete" else STATE_COLOURS.get(status, OTHER_STATE)
    grid = [[places.get((line, column)) for column in columns] for line in lines]
    figure.add_heatmap(
        x=[escape(value) for value in columns],
        y=[escape(value) for value in lines],
        z=[[1.0 if rows else None for rows in line] for line in grid],
        text=[[_text(rows) if rows else "" for rows in line] for line in grid],
        hovertext=[[_hover(rows) if rows else "" for rows in line] for line in grid],
        texttemplate="%{text}",
        textfont={"color": INKS["bright" if status == "missing" else "dark"], "size": 12 if len(columns) <= 12 else 9},
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        colorscale=[[0, colour], [1, colour]],
        showscale=False,
        name=escape(status),
        xgap=3,
        ygap=3,
    )


def _text(rows: list[Row]) -> str:
    counts = Counter(str(row["status"]) for row in rows)
    if len(rows) == 1:
        return escape(next(iter(counts)))
    return "<br>".join(f"{count} {escape(status)}" for status, count in counts.items())


def _hover(rows: list[Row]) -> str:
    lines = []
    for row in rows[:MAX_NAMED]:
        reason = next((row[name] for name in ("problem", "error") if isinstance(row.get(name), str)), None)
        lines.append(f"{escape(row['run'])}: {escape(row['status'])}" + (f"<br>{wrapped(reason)}" if reason else ""))
    return "<br>".join([*lines, *([f"and {len(rows) - MAX_NAMED} more"] if len(rows) > MAX_NAMED else [])])
