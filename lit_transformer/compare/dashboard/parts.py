"""What all pages are made of: labelled controls, figures that can be saved, states, links by id."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dash_ag_grid
from dash import Dash, Input, Output, dcc, html
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.query import menu_text, search_of
from lit_transformer.compare.style import DASHES, OKABE_ITO

GRAPH_CONFIG: Any = {
    "displaylogo": False,
    "plotlyServerURL": "",
    "showSendToCloud": False,
    "responsive": True,
    "scrollZoom": False,
}
MAX_OPTIONS = 200
"""Choices shown in one menu: a run of ten thousand settings is searched in, not scrolled through."""
GRID_CLASS = "ag-theme-quartz-auto-dark"
GRID_OPTIONS: Any = {"suppressFieldDotNotation": True, "enableCellTextSelection": True, "ensureDomOrder": True}
PAGES = (("/", "Runs"), ("/curves", "Curves"), ("/sweep", "Sweep"), ("/compare", "Compare"))


def control(label: str, body: Component, *, wide: bool = False) -> Component:
    """A control under its label, which a screen reader reads with it."""
    return html.Div(
        [html.Label(label, id=f"{body.id}-label", htmlFor=body.id), body],  # type: ignore[attr-defined]
        className="control wide" if wide else "control",
        role="group",
        **_labelled(f"{body.id}-label"),  # type: ignore[attr-defined]
    )


def _labelled(id: str) -> Any:
    return {"aria-labelledby": id}


def menu(
    id: str,
    options: Sequence[str] | Sequence[dict[str, Any]],
    value: Any,
    *,
    multi: bool = False,
    placeholder: str = "",
) -> dcc.Dropdown:
    """A menu of one or several choices that can be searched."""
    chosen = [menu_text(one) for one in value] if isinstance(value, list) else value and menu_text(value)
    return dcc.Dropdown(
        id=id, options=choices(options), value=chosen, multi=multi, clearable=False, placeholder=placeholder,
        searchable=True, className="menu",
    )  # fmt: skip


def choices(options: Sequence[str] | Sequence[dict[str, Any]]) -> list[Any]:
    """The choices of a menu as it takes them: see `query.menu_text`."""
    return [
        menu_text(option) if isinstance(option, str) else {name: menu_text(value) for name, value in option.items()}
        for option in options
    ]


def picked(options: Sequence[str], chosen: Sequence[str], search: object = None) -> list[str]:
    """At most MAX_OPTIONS of `options`: those chosen, then those that hold what is searched for."""
    wanted = search.lower() if isinstance(search, str) else ""
    known = set(options)
    shown = dict.fromkeys(name for name in chosen if name in known)
    for name in options:
        if len(shown) >= MAX_OPTIONS:
            break
        if wanted in name.lower():
            shown[name] = None
    return list(shown)


def offered(options: Sequence[str], chosen: Sequence[str], search: object) -> list[Any]:
    """The choices of a menu that is searched: `picked`, as the menu takes them."""
    return choices(picked(options, chosen, search))


def graph(id: str, *, tall: bool = False) -> Component:
    """A figure that callbacks draw, and the buttons that save it."""
    height = "min(640px, 75vh)" if tall else "430px"
    return _saved(
        id,
        dcc.Graph(id=id, config=_config(id), className="plot", responsive=True, style={"height": height}),
        minHeight=height,
    )


def finished(id: str, figure: Any, *, small: bool = False) -> Component:
    """A figure that is drawn already, and the buttons that save it."""
    size = "plot small" if small else "plot"
    return _saved(id, dcc.Graph(id=id, figure=figure, config=_config(id), className=size, responsive=True))


def _config(id: str) -> Any:
    """Plotly's settings: its own button saves the figure under its id."""
    return {**GRAPH_CONFIG, "toImageButtonOptions": {"format": "png", "scale": 2, "filename": id}}


def _saved(id: str, plot: Component, **style: str) -> Component:
    """A figure with a button that saves it as SVG; plotly's own, above it, saves PNG."""
    button = html.Button("SVG", id=f"{id}-svg", className="save", title="Save this figure as SVG")
    return html.Figure([plot, button], style=style)


def state(status: str) -> Component:
    """A run's state as a word in its colour."""
    return html.Span(status, className=f"state {status if status.isalpha() and status.isascii() else 'damaged'}")


def href(page: str, **fields: object) -> str:
    """The address of a page in a state."""
    return page + search_of(fields)


def colour_of(place: int) -> str:
    """The colour of the run that appeared in this place."""
    return OKABE_ITO[place % len(OKABE_ITO)]


def dash_of(place: int) -> str:
    """The dash of the run that appeared in this place: it changes when the colours are used up."""
    return DASHES[place // len(OKABE_ITO) % len(DASHES)]


def duration(seconds: float | None) -> str:
    """`2 h 5 min`, `3 min 20 s`, `8 s`; empty where it is not known."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return ""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def smoothing(id: str, value: float) -> Component:
    """A slider of how much of a curve's past its average keeps."""
    marks: Any = {0: "0", 0.5: "0.5", 0.9: "0.9"}
    slider = dcc.Slider(id=id, min=0, max=0.99, step=0.01, value=value, marks=marks)
    return control("Smoothing", html.Div(slider, id=f"{id}-box", className="slider"))


def message(*lines: str) -> Component:
    """What a page says where it has nothing to show."""
    return html.Div([html.P(line) for line in lines], className="card empty", role="status")


def table(
    id: str,
    file: str,
    *,
    columns: Sequence[dict[str, Any]] = (),
    rows: Sequence[dict[str, Any]] = (),
    look: str = "",
    defaults: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    row_id: str = "",
) -> dash_ag_grid.AgGrid:
    """A table to sort, resize, copy from and save as `file`.

    `defaults` hold for every column and `options` for the grid, over those that all tables share; `look` is a class of
    its own, `row_id` the script by which a row is known again.
    """
    known: dict[str, Any] = {"getRowId": row_id} if row_id else {}
    return dash_ag_grid.AgGrid(
        id=id,
        columnDefs=list(columns),
        rowData=list(rows),
        defaultColDef={"sortable": True, "resizable": True, "useValueFormatterForExport": False, **(defaults or {})},
        dashGridOptions={**GRID_OPTIONS, **(options or {})},
        csvExportParams={"fileName": file},
        className=f"{GRID_CLASS} {look}".strip(),
        style={"height": None},
        **known,
    )


def save_as_csv(app: Dash, table: str, button: str) -> None:
    """Let a button save what a table shows."""

    @app.callback(Output(table, "exportDataAsCsv"), Input(button, "n_clicks"), prevent_initial_call=True)
    def save(clicks: object) -> bool:
        return bool(clicks)
