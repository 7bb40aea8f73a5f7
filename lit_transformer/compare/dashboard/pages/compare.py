"""The page of two or more runs: what differs in their settings first, then metrics, curves and samples side by side."""

from collections.abc import Sequence
from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.choose import chosen
from lit_transformer.compare.dashboard.curve_data import curves_of, metric_names, newest_change
from lit_transformer.compare.dashboard.curve_figure import Drawn, curve_figure
from lit_transformer.compare.dashboard.index import LiveIndex, View
from lit_transformer.compare.dashboard.parts import control, graph, menu, message, save_as_csv, smoothing, table
from lit_transformer.compare.dashboard.query import Query, bounded, search_of, text, texts
from lit_transformer.compare.dashboard.run_table import shown_value
from lit_transformer.compare.dashboard.sample_panel import register_panel, sample_panel
from lit_transformer.compare.plain import label
from lit_transformer.compare.read import FIELDS, Row

PATH = "/compare"
MOST = 16
"""Runs side by side."""
OFFERED = 1_000


def layout(index: LiveIndex, query: Query) -> Component:
    """The page of the `runs` that the address says; without any the first two."""
    view = index.view
    begun = chosen(view, [], "")
    if not begun:
        return message("No run here yet: there is nothing to compare.")
    ids = chosen(view, query.several("runs"), "")[:MOST] if query.several("runs") else begun[:2]
    runs = index.runs(ids)
    names = metric_names(index, ids)
    usual = index.comparison().metric
    metric = query.choice("metric", names, usual if usual in names else next(iter(names), ""))
    options = [{"label": view.rows[view.places[id]].run, "value": id} for id in dict.fromkeys([*ids, *begun[:OFFERED]])]
    return html.Div(
        [
            html.H1("Compare"),
            html.Div(
                [control("Runs", menu("compare-runs", options, ids, multi=True), wide=True)], className="controls"
            ),
            html.Section(
                [html.H2("What differs in their settings"), _table("compare-config"), _save("compare-config")],
                className="card",
            ),
            html.Section(
                [html.H2("Metrics and costs"), _table("compare-metrics"), _save("compare-metrics")], className="card"
            ),
            html.Div(
                [
                    control("Metric", menu("compare-metric", names, metric)),
                    smoothing("compare-smooth", query.number("smooth", 0.0, 0.99, 0.0)),
                ],
                className="controls",
            ),
            graph("compare-figure"),
            html.Div(sample_panel("compare", runs), id="compare-panel"),
            dcc.Store(id="compare-drawn", data=-1),
        ]
    )


def _table(id: str) -> Component:
    return table(id, f"{id}.csv", defaults={"minWidth": 120, "flex": 1}, options={"domLayout": "autoHeight"})


def _save(id: str) -> Component:
    return html.Button("CSV", id=f"{id}-csv", title="Save this table as CSV")


def differing(rows: Sequence[Row]) -> list[str]:
    """The settings in which the runs differ, an absent one being null, in the order of the configs."""
    keys = dict.fromkeys(key for row in rows for key in row.config)
    return [key for key in keys if len({label(row.config.get(key)) for row in rows}) > 1]


def columns_for(rows: Sequence[Row], first: str) -> list[dict[str, Any]]:
    """A column of names, then one for each run, whose name is text in the heading."""
    heads: list[dict[str, Any]] = [{"field": "name", "headerName": first, "pinned": "left", "tooltipField": "name"}]
    return heads + [
        {
            "field": f"r{place}",
            "valueFormatter": {"function": "compared(params)"},
            "headerName": row.run,
            "headerTooltip": row.run,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
        }
        for place, row in enumerate(rows)
    ]


def config_rows(rows: Sequence[Row]) -> list[dict[str, object]]:
    """One row for each setting that differs."""
    return [
        {"name": key, **{f"r{place}": label(row.config.get(key)) for place, row in enumerate(rows)}}
        for key in differing(rows)[:1_000]
    ]


def metric_rows(rows: Sequence[Row]) -> list[dict[str, object]]:
    """One row for each metric and cost that one of the runs has."""
    names = dict.fromkeys(sorted({name for row in rows for name in row.metrics}))
    found: list[dict[str, object]] = [
        {"name": name, **{f"r{place}": shown_value(row.metrics.get(name)) for place, row in enumerate(rows)}}
        for name in list(names)[:1_000]
    ]
    for name in FIELDS:
        if any(row.fields.get(name) is not None for row in rows):
            cells = {f"r{place}": shown_value(row.fields.get(name)) for place, row in enumerate(rows)}
            found.append({"name": name, **cells})
    return [{"name": "status", **{f"r{place}": row.status for place, row in enumerate(rows)}}, *found]


def _rows(view: View, ids: Sequence[str]) -> list[Row]:
    return [row for id in ids if (row := view.row(id)) is not None]


def register(app: Dash, index: LiveIndex) -> None:
    """Tables, curves and samples follow the choice of runs and the disk."""
    _register_controls(app, index)
    register_panel(app, index, "compare")

    @app.callback(
        Output("compare-config", "columnDefs"),
        Output("compare-config", "rowData"),
        Output("compare-metrics", "columnDefs"),
        Output("compare-metrics", "rowData"),
        Output("compare-figure", "figure"),
        Output("compare-drawn", "data"),
        Input("compare-runs", "value"),
        Input("compare-metric", "value"),
        Input("compare-smooth", "value"),
        Input("version", "data"),
        State("compare-drawn", "data"),
    )
    def fill(wanted: object, metric: object, smoothed: object, _: object, drawn: object) -> Any:
        view = index.refresh()
        ids = chosen(view, texts(wanted, MOST), "") if texts(wanted) else []
        newest = newest_change(index, ids)
        if ctx.triggered_id == "version" and newest == drawn:
            return (no_update,) * 6
        rows = _rows(view, ids)
        curves, _left = curves_of(index, ids, text(metric), "step")
        figure = curve_figure(curves, Drawn(metric=text(metric), smoothing=bounded(smoothed, 0.0, 0.99, 0.0)))
        heads, numbers = columns_for(rows, "setting"), columns_for(rows, "metric")
        if ctx.triggered_id == "version":
            heads = numbers = no_update  # type: ignore[assignment]
        return heads, config_rows(rows), numbers, metric_rows(rows), figure, newest


def _register_controls(app: Dash, index: LiveIndex) -> None:
    """Samples, what is saved, and the address."""

    @app.callback(Output("compare-panel", "children"), Input("compare-runs", "value"), prevent_initial_call=True)
    def show_samples(wanted: object) -> Any:
        return sample_panel("compare", index.runs(chosen(index.view, texts(wanted, MOST), "") if texts(wanted) else []))

    for name in ("compare-config", "compare-metrics"):
        save_as_csv(app, name, f"{name}-csv")

    @app.callback(
        Output("query", "data", allow_duplicate=True),
        Input("compare-runs", "value"),
        Input("compare-metric", "value"),
        Input("compare-smooth", "value"),
        prevent_initial_call=True,
    )
    def address(wanted: object, metric: object, smoothed: object) -> str:
        smooth = bounded(smoothed, 0.0, 0.99, 0.0)
        return search_of(
            {"runs": texts(wanted, MOST), "metric": text(metric), "smooth": f"{smooth:g}" if smooth else ""}
        )
