"""The page of curves: any metric of many runs against steps, epochs, tokens, FLOPs or time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.axes import AXES
from lit_transformer.compare.dashboard.choose import FILTER_HELP, chosen
from lit_transformer.compare.dashboard.curve_data import curves_of, metric_names, newest_change
from lit_transformer.compare.dashboard.curve_figure import Drawn, curve_figure
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.parts import control, graph, menu, message, offered, picked, smoothing
from lit_transformer.compare.dashboard.query import Query, bounded, search_of, text, texts
from lit_transformer.compare.dashboard.run_table import all_columns

PATH = "/curves"
LOGS = ("log x", "log y")


def layout(index: LiveIndex, query: Query) -> Component:
    """The page as the address says: `runs`, `q`, `metric`, `axis`, `smooth`, `log`, `group`."""
    view = index.view
    if not view.rows:
        return message("No run here yet: curves appear with the first one.")
    ids = chosen(view, query.several("runs"), query.text("q"))
    comparison = index.comparison()
    metrics = metric_names(index, ids)
    usual = comparison.metric if comparison.metric in metrics else next(iter(metrics), "")
    metric = query.choice("metric", metrics, usual)
    columns = all_columns(comparison)
    keys = [key for key in query.several("group") if key in columns]
    logs = [name for name in LOGS if name in query.several("log")]
    return html.Div(
        [
            html.H1("Curves"),
            html.Div(
                [
                    control("Metric", menu("curves-metric", metrics, metric)),
                    control("Against", menu("curves-axis", AXES, query.choice("axis", AXES, "step"))),
                    control(
                        "Group by",
                        menu("curves-group", picked(columns, keys), keys, multi=True, placeholder="each run"),
                    ),
                    smoothing("curves-smooth", query.number("smooth", 0.0, 0.99, 0.0)),
                    control("Scales", dcc.Checklist(id="curves-log", options=list(LOGS), value=logs, inline=True)),
                    control("Runs", _filter(query.text("q")), wide=True),
                ],
                className="controls",
            ),
            html.P(id="curves-hint", className="hint", role="status"),
            graph("curves-figure", tall=True),
            dcc.Store(id="curves-runs", data=query.several("runs")),
            dcc.Store(id="curves-zoom"),
            dcc.Store(id="curves-drawn", data=0),
        ]
    )


def _filter(value: str) -> Component:
    return dcc.Input(id="curves-filter", type="search", value=value, debounce=0.4, placeholder=FILTER_HELP)


def zoom_of(change: object, log: bool) -> Any:
    """What a relayout event says of the axis: its ends, None where it was set back, no_update where it says nothing."""
    if not isinstance(change, Mapping):
        return no_update
    if change.get("xaxis.autorange"):
        return None
    ends = [bounded(change.get(f"xaxis.range[{place}]"), -1e300, 1e300, math.nan) for place in (0, 1)]
    if not all(map(math.isfinite, ends)):
        return no_update
    if log:
        ends = [10.0 ** min(300.0, max(-300.0, end)) for end in ends]
    return ends if ends[1] > ends[0] else no_update


def window_of(zoom: object) -> tuple[float, float] | None:
    """The ends of the part that is zoomed in on, from what a page sent."""
    if not isinstance(zoom, list) or len(zoom) != 2:
        return None
    low, high = (bounded(end, -1e300, 1e300, math.nan) for end in zoom)
    return (low, high) if math.isfinite(low) and math.isfinite(high) and high > low else None


def hint(drawn: int, shown: int, left_out: int, group: Sequence[str]) -> str:
    """How many runs are drawn, and which are not."""
    if not shown:
        return "No run matches."
    parts = [f"{drawn} of {shown} runs logged this metric" if drawn < shown else f"{drawn} runs"]
    if left_out:
        parts.append(f"the first {shown} are drawn: filter{'' if group else ' or group'} to see the others")
    if group:
        parts.append("lines are means, bands one sample standard deviation")
    return "; ".join(parts) + ". Drag to zoom in: all points of the part are then drawn."


def register(app: Dash, index: LiveIndex) -> None:
    """The figure follows its controls, the zoom and the disk."""
    _register_menus(app, index)

    @app.callback(
        Output("curves-zoom", "data"),
        Input("curves-figure", "relayoutData"),
        Input("curves-axis", "value"),
        State("curves-log", "value"),
    )
    def zoom(change: object, _: object, log: object) -> Any:
        return None if ctx.triggered_id == "curves-axis" else zoom_of(change, "log x" in texts(log))

    @app.callback(
        Output("curves-figure", "figure"),
        Output("curves-hint", "children"),
        Output("curves-drawn", "data"),
        Input("curves-metric", "value"),
        Input("curves-axis", "value"),
        Input("curves-group", "value"),
        Input("curves-smooth", "value"),
        Input("curves-log", "value"),
        Input("curves-filter", "value"),
        Input("curves-zoom", "data"),
        Input("version", "data"),
        State("curves-runs", "data"),
        State("curves-drawn", "data"),
    )
    def draw(
        metric: object,
        axis: object,
        group: object,
        smoothed: object,
        log: object,
        wanted: object,
        zoomed: object,
        _: object,
        runs: object,
        drawn: object,
    ) -> Any:
        view = index.refresh()
        ids = chosen(view, texts(runs), text(wanted))
        newest = newest_change(index, ids)
        if ctx.triggered_id == "version" and newest == drawn:
            return no_update, no_update, no_update
        keys = texts(group, 6)
        along = axis if axis in AXES else "step"
        curves, left_out = curves_of(index, ids, text(metric), str(along), keys)
        how = Drawn(
            metric=text(metric),
            axis=str(along),
            smoothing=bounded(smoothed, 0.0, 0.99, 0.0),
            log_x="log x" in texts(log),
            log_y="log y" in texts(log),
            window=window_of(zoomed),
        )
        return curve_figure(curves, how), hint(len(curves), len(ids) - left_out, left_out, keys), newest


def _register_menus(app: Dash, index: LiveIndex) -> None:
    """Menus and the address."""

    @app.callback(
        Output("curves-group", "options"), Input("curves-group", "search_value"), State("curves-group", "value")
    )
    def offer(search: object, group: object) -> Any:
        return offered(all_columns(index.comparison()), texts(group), search) if index.view.rows else []

    @app.callback(
        Output("query", "data", allow_duplicate=True),
        Input("curves-metric", "value"),
        Input("curves-axis", "value"),
        Input("curves-group", "value"),
        Input("curves-smooth", "value"),
        Input("curves-log", "value"),
        Input("curves-filter", "value"),
        State("curves-runs", "data"),
        prevent_initial_call=True,
    )
    def address(
        metric: object, axis: object, group: object, smoothed: object, log: object, wanted: object, runs: object
    ) -> str:
        smooth = bounded(smoothed, 0.0, 0.99, 0.0)
        return search_of(
            {
                "runs": texts(runs),
                "q": text(wanted),
                "metric": text(metric),
                "axis": "" if axis == "step" else text(axis),
                "group": texts(group),
                "smooth": f"{smooth:g}" if smooth else "",
                "log": texts(log),
            }
        )
