"""The page of one run: its state, curves, settings, samples, machine, log, and the commands that go on with it."""

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.analysis_panel import analysis_panel, register_analysis
from lit_transformer.compare.dashboard.curve_data import metric_names, newest_change
from lit_transformer.compare.dashboard.curve_figure import Drawn
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.pages.curves import window_of, zoom_of
from lit_transformer.compare.dashboard.parts import (
    control,
    finished,
    graph,
    href,
    menu,
    message,
    save_as_csv,
    smoothing,
)
from lit_transformer.compare.dashboard.query import Query, bounded, search_of, text, texts
from lit_transformer.compare.dashboard.run_parts import (
    command_list,
    facts,
    log_text,
    overlay,
    settings_grid,
    system_figures,
)
from lit_transformer.compare.dashboard.sample_panel import register_panel, sample_panel
from lit_transformer.compare.dashboard.standing import LONGEST, cell_sentence
from lit_transformer.compare.dashboard.sweep_data import cell_of, ids_of

PATH = "/run"
MOST = 8
"""Metrics drawn over one another."""


def layout(index: LiveIndex, query: Query) -> Component:
    """The page of the run whose `id` the address says, with the metrics that it says."""
    run, row = index.run(query.text("id")), index.view.row(query.text("id"))
    if run is None or row is None:
        told = (row.problem or "It was not begun yet.") if row else "The address names no run that is here now."
        return message(row.run if row else "No such run.", told)
    names = metric_names(index, [run.id])
    chosen = [name for name in query.several("metrics") if name in names][:MOST] or _usual(names)
    return html.Div(
        [
            html.H1(run.name),
            html.Div(facts(run, row), id="run-facts", className="card"),
            html.P(id="run-standing", className="hint"),
            html.Div(
                [
                    control("Metrics", menu("run-metrics", names, chosen, multi=True), wide=True),
                    smoothing("run-smooth", query.number("smooth", 0.0, 0.99, 0.0)),
                    control("Scales", dcc.Checklist(id="run-log", options=["log y"], value=query.several("log"))),
                ],
                className="controls",
            ),
            graph("run-figure"),
            html.Section([html.H2("Go on with it"), command_list(run, row)], className="card"),
            html.Section(
                [
                    html.Div(
                        [html.H2("Settings"), html.Button("CSV", id="run-csv", title="Save the settings")],
                        className="head",
                    ),
                    settings_grid(run, index.comparison().swept),
                ],
                className="card",
            ),
            sample_panel("run", [run]),
            analysis_panel("run"),
            html.Section([html.H2("Machine"), html.Div(id="run-system", className="pair")], className="card"),
            html.Section([html.H2("Log"), html.Pre(id="run-log-text", tabIndex=0)], className="card"),
            dcc.Store(id="run-id", data=run.id),
            dcc.Store(id="run-zoom"),
            dcc.Store(id="run-drawn", data=-1),
            dcc.Store(id="run-judged", data=-1),
        ]
    )


def _usual(names: list[str]) -> list[str]:
    losses = [name for name in names if name.endswith("/loss")]
    return (losses or names)[:2]


def register(app: Dash, index: LiveIndex) -> None:
    """The page follows its controls and the run."""
    _register_controls(app, index)
    _register_standing(app, index)
    register_panel(app, index, "run")
    register_analysis(app, index, "run", "run-id")

    @app.callback(Output("run-zoom", "data"), Input("run-figure", "relayoutData"), prevent_initial_call=True)
    def zoom(change: object) -> Any:
        return zoom_of(change, log=False)

    @app.callback(
        Output("run-figure", "figure"),
        Output("run-facts", "children"),
        Output("run-system", "children"),
        Output("run-log-text", "children"),
        Output("run-drawn", "data"),
        Input("run-metrics", "value"),
        Input("run-smooth", "value"),
        Input("run-log", "value"),
        Input("run-zoom", "data"),
        Input("version", "data"),
        State("run-id", "data"),
        State("run-drawn", "data"),
    )
    def draw(
        metrics: object, smoothed: object, log: object, zoomed: object, _: object, id: object, drawn: object
    ) -> Any:
        view = index.refresh()
        run, row = index.run(text(id)), view.row(text(id))
        if run is None or row is None:
            return no_update, [html.P("This run is no longer here.")], no_update, no_update, no_update
        changed = view.changed.get(run.id, 0)
        if ctx.triggered_id == "version" and changed == drawn:
            return (no_update,) * 5
        names = texts(metrics, MOST)
        how = Drawn(
            metric=", ".join(names),
            smoothing=bounded(smoothed, 0.0, 0.99, 0.0),
            log_y="log y" in texts(log),
            window=window_of(zoomed),
        )
        figure = overlay(run, names, how)
        if changed == drawn:
            return figure, no_update, no_update, no_update, no_update
        machine = [
            finished(f"run-system-{place}", shown, small=True) for place, shown in enumerate(system_figures(run))
        ]
        return figure, facts(run, row), machine or "Nothing was measured yet.", log_text(run) or "No log.", changed


def _register_standing(app: Dash, index: LiveIndex) -> None:
    """Where the cell of a sweep's run stands among the others, whichever of them changed."""

    @app.callback(
        Output("run-standing", "children"),
        Output("run-judged", "data"),
        Input("version", "data"),
        State("run-id", "data"),
        State("run-judged", "data"),
    )
    def stand(_: object, id: object, judged: object) -> Any:
        run = index.run(text(id))
        sweep = cell_of(index, run) if run else None
        if run is None or sweep is None:
            return no_update, no_update
        comparison = index.comparison(sweep.id)
        newest = newest_change(index, ids_of(comparison))
        if newest == judged:
            return no_update, no_update
        said = cell_sentence(comparison, index.judging.ask(comparison, LONGEST), run.name)
        link = html.A(sweep.name, href=href("/sweep", sweep=sweep.id))  # its own security policy: see app.py
        return ["A cell of ", link, f". {said}"], newest


def _register_controls(app: Dash, index: LiveIndex) -> None:
    """What is saved, and the address."""

    save_as_csv(app, "run-settings", "run-csv")

    @app.callback(
        Output("query", "data", allow_duplicate=True),
        Input("run-metrics", "value"),
        Input("run-smooth", "value"),
        Input("run-log", "value"),
        State("run-id", "data"),
        prevent_initial_call=True,
    )
    def address(metrics: object, smoothed: object, log: object, id: object) -> str:
        smooth = bounded(smoothed, 0.0, 0.99, 0.0)
        fields = {
            "id": text(id),
            "metrics": texts(metrics),
            "smooth": f"{smooth:g}" if smooth else "",
            "log": texts(log),
        }
        return search_of(fields)
