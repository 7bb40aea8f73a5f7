"""The page of a sweep: its cells by state, maps, parallel coordinates, what mattered, costs, what was stopped."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.comparison import Comparison, default_axes, goal_of
from lit_transformer.compare.dashboard.analysis_panel import analysis_panel, register_analysis
from lit_transformer.compare.dashboard.cell_table import cell_columns, cell_rows
from lit_transformer.compare.dashboard.curve_data import newest_change
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.parts import control, finished, graph, menu, message, save_as_csv, table
from lit_transformer.compare.dashboard.query import Query, bounded, search_of, text
from lit_transformer.compare.dashboard.standing import LONGEST, by_metric, said_of
from lit_transformer.compare.dashboard.sweep_data import (
    brushed,
    cells_of,
    clean_brushes,
    curves_for,
    drawn_rows,
    first_two,
    ids_of,
    inside,
    judged_cells,
    stops_of,
)
from lit_transformer.compare.figures import (
    against,
    importance_bars,
    parallel_coordinates,
    state_map,
    stop_figure,
    variance_bars,
)
from lit_transformer.compare.heatmap import REDUCERS, heatmap
from lit_transformer.compare.importance import anova, ped_anova
from lit_transformer.compare.style import mean_text

PATH = "/sweep"
MAX_FACTORS = 12
COSTS = ("parameters", "flops", "seconds")
_LIVE: Any = {"aria-label": "What the runs say", "aria-live": "polite"}


def layout(index: LiveIndex, query: Query) -> Component:
    """The page as the address says: `sweep`, `metric`, `x`, `y`, `reducer`."""
    view = index.view
    if not view.rows:
        return message("No run here yet: a sweep that is started below this folder appears by itself.")
    sweeps = {sweep.id: sweep.name for sweep in view.sweeps if sweep.plan is not None}
    id = query.choice("sweep", sweeps, next(iter(sweeps), ""))
    comparison = index.comparison(id)
    keys = comparison.factors[:MAX_FACTORS]
    options = [{"label": name, "value": id} for id, name in sweeps.items()]
    choose = control("Sweep", menu("sweep-id", options, id or None))
    if not keys:
        shown = dcc.Store(id="sweep-shown", data=id)
        return html.Div(
            [html.H1(comparison.title), html.Div(choose, className="controls"), _one_cell(comparison), shown]
        )
    metrics = comparison.metrics or [comparison.metric]
    x, y = first_two(
        keys, *(query.text(name) or str(axis) for name, axis in zip("xy", default_axes(keys), strict=True))
    )
    return html.Div(
        [
            html.H1(comparison.title),
            html.Div(
                [
                    choose,
                    control("Metric", menu("sweep-metric", metrics, query.choice("metric", metrics, metrics[0]))),
                    control("Across", menu("sweep-x", keys, x)),
                    control("Up", menu("sweep-y", keys, y)),
                    control(
                        "Of several cells", menu("sweep-reducer", REDUCERS, query.choice("reducer", REDUCERS, "best"))
                    ),
                ],
                className="controls",
            ),
            html.Section(id="sweep-verdict", className="card", **_LIVE),
            html.Div([graph("sweep-map"), graph("sweep-states")], className="pair"),
            graph("sweep-parallel"),
            html.P("Drag along an axis to brush it; click beside a brush to take it away.", className="hint"),
            html.Section(
                [
                    html.H2("Cells", id="sweep-cells-title"),
                    _table(),
                    html.Button("CSV", id="sweep-csv", title="Save as CSV"),
                ],
                className="card",
            ),
            html.Div(id="sweep-why", className="pair"),
            html.Div(id="sweep-costs", className="pair"),
            html.Div(id="sweep-stops"),
            analysis_panel("sweep"),
            dcc.Store(id="sweep-shown", data=id),
            dcc.Store(id="sweep-brushes"),
            dcc.Store(id="sweep-judged"),
            dcc.Store(id="sweep-unmarked"),
            dcc.Store(id="sweep-drawn", data=-1),
            dcc.Store(id="sweep-explained", data=-1),
        ]
    )


def _one_cell(comparison: Comparison) -> Component:
    """What a page without maps says: nothing differs, or the seed alone, whose spread it then tells."""
    if not comparison.averaged:
        return message("Nothing was swept: the runs here differ in no setting.")
    cell = cells_of(comparison, comparison.metric).iloc[0]
    told = mean_text(comparison.metric, float(cell["mean"]), float(cell["sd"]))
    return message(f"{comparison.metric}: {told} over {cell['n']} seeds.", "Nothing but the seed was swept.")


def _table() -> Component:
    return table(
        "sweep-cells",
        "cells.csv",
        look="settings",
        defaults={"filter": True, "flex": 1, "minWidth": 100, "wrapHeaderText": True, "autoHeaderHeight": True},
    )


def _asked(index: LiveIndex, id: object, metric: object) -> tuple[Comparison, str]:
    """The comparison of a sweep, and a metric that it has."""
    comparison = index.comparison(text(id))
    names = comparison.metrics
    return comparison, text(metric) if metric in names else comparison.metric


def register(app: Dash, index: LiveIndex) -> None:
    """Figures follow their controls, brushes and the disk."""
    _register_cells(app, index)
    _register_standing(app, index)
    _register_reasons(app, index)
    _register_controls(app, index)
    register_analysis(app, index, "sweep", "sweep-shown")

    @app.callback(
        Output("sweep-map", "figure"),
        Output("sweep-states", "figure"),
        Output("sweep-parallel", "figure"),
        Output("sweep-drawn", "data"),
        Output("sweep-unmarked", "data"),
        Input("sweep-metric", "value"),
        Input("sweep-x", "value"),
        Input("sweep-y", "value"),
        Input("sweep-reducer", "value"),
        Input("version", "data"),
        State("sweep-shown", "data"),
        State("sweep-drawn", "data"),
    )
    def draw(metric: object, x: object, y: object, reducer: object, _: object, id: object, drawn: object) -> Any:
        if not index.refresh().rows:
            return (no_update,) * 5
        comparison, name = _asked(index, id, metric)
        newest = newest_change(index, ids_of(comparison))
        keys = comparison.factors[:MAX_FACTORS]
        if (ctx.triggered_id == "version" and newest == drawn) or not keys:
            return (no_update,) * 5
        cells, judged = judged_cells(index, comparison, name)
        across, up = first_two(keys, text(x), text(y))
        figures = [_map(comparison, cells, name, x, y, reducer), state_map(comparison.runs, x=across, y=up)]
        lines = parallel_coordinates(cells, keys, metric=name, goal=goal_of(name, comparison), costs=COSTS[:2])
        unchanged = ctx.triggered_id in ("sweep-x", "sweep-y", "sweep-reducer")
        return *figures, no_update if unchanged else lines, newest, judged is None


def _map(comparison: Comparison, cells: pd.DataFrame, metric: str, x: object, y: object, reducer: object) -> Any:
    """The map of cells over the two settings that a page asks for."""
    across, up = first_two(comparison.factors[:MAX_FACTORS], text(x), text(y))
    assert across is not None
    how: Any = reducer if reducer in REDUCERS else "best"
    return heatmap(cells, x=across, y=up, metric=metric, goal=goal_of(metric, comparison), reducer=how)


def _register_cells(app: Dash, index: LiveIndex) -> None:
    """Brushes, and the table of what they hold."""

    @app.callback(
        Output("sweep-brushes", "data"),
        Input("sweep-parallel", "restyleData"),
        Input("sweep-metric", "value"),
        State("sweep-brushes", "data"),
    )
    def brush(change: object, _: object, known: object) -> Any:
        return {} if ctx.triggered_id != "sweep-parallel" else brushed(known, change, MAX_FACTORS + len(COSTS) + 1)

    @app.callback(
        Output("sweep-cells", "columnDefs"),
        Output("sweep-cells", "rowData"),
        Output("sweep-cells-title", "children"),
        Input("sweep-drawn", "data"),
        Input("sweep-brushes", "data"),
        Input("sweep-metric", "value"),
        State("sweep-shown", "data"),
    )
    def list_cells(_: object, brushes: object, metric: object, id: object) -> Any:
        if not index.view.rows:
            return no_update, no_update, no_update
        comparison, name = _asked(index, id, metric)
        cells, judged = judged_cells(index, comparison, name)
        shown, kept = _brushed_cells(comparison, cells, name, brushes)
        told = f"{len(shown)} of {len(cells)} cells are brushed" if kept else f"{len(cells)} cells"
        return cell_columns(comparison, name, cells, judged), cell_rows(comparison, shown), told


def _brushed_cells(
    comparison: Comparison, cells: pd.DataFrame, metric: str, brushes: object
) -> tuple[pd.DataFrame, bool]:
    """The cells that all brushes hold, and whether there are any brushes."""
    if not brushes:
        return cells, False
    keys, goal = comparison.factors[:MAX_FACTORS], goal_of(metric, comparison)
    lines = parallel_coordinates(cells, keys, metric=metric, goal=goal, costs=COSTS[:2])
    axes: Any = lines.data
    kept = clean_brushes(brushes, len(axes[0].dimensions) if axes else 0)
    return (drawn_rows(cells).iloc[inside(lines, kept)] if kept else cells), bool(kept)


def _register_standing(app: Dash, index: LiveIndex) -> None:
    """What seeds allow to be said; a sweep of hundreds of cells is drawn first and marked when it is judged."""

    @app.callback(
        Output("sweep-verdict", "children"),
        Output("sweep-judged", "data"),
        Input("sweep-metric", "value"),
        Input("sweep-drawn", "data"),
        State("sweep-unmarked", "data"),
        State("sweep-shown", "data"),
    )
    def tell(metric: object, drawn: object, unmarked: object, id: object) -> Any:
        if not index.view.rows:
            return no_update, no_update
        comparison, name = _asked(index, id, metric)
        judging = by_metric(comparison, name)
        judged = None if judging is None else index.judging.ask(judging, LONGEST)
        first, *more = said_of(comparison, name, judged)
        told = [html.P(first), html.Ul([html.Li(line) for line in more])] if more else html.P(first)
        return told, [name, _version(drawn)] if judged and unmarked else no_update

    @app.callback(
        Output("sweep-map", "figure", allow_duplicate=True),
        Output("sweep-cells", "columnDefs", allow_duplicate=True),
        Output("sweep-cells", "rowData", allow_duplicate=True),
        Input("sweep-judged", "data"),
        State("sweep-metric", "value"),
        State("sweep-x", "value"),
        State("sweep-y", "value"),
        State("sweep-reducer", "value"),
        State("sweep-brushes", "data"),
        State("sweep-shown", "data"),
        prevent_initial_call=True,
    )
    def mark(_: object, metric: object, x: object, y: object, reducer: object, brushes: object, id: object) -> Any:
        if not index.view.rows:
            return no_update, no_update, no_update
        comparison, name = _asked(index, id, metric)
        cells, judged = judged_cells(index, comparison, name)
        if judged is None or not comparison.factors:
            return no_update, no_update, no_update
        shown, _kept = _brushed_cells(comparison, cells, name, brushes)
        marked = _map(comparison, cells, name, x, y, reducer)
        return marked, cell_columns(comparison, name, cells, judged), cell_rows(comparison, shown)


def _register_reasons(app: Dash, index: LiveIndex) -> None:
    """What mattered, what it cost, what was stopped."""

    @app.callback(
        Output("sweep-why", "children"),
        Output("sweep-costs", "children"),
        Output("sweep-stops", "children"),
        Output("sweep-explained", "data"),
        Input("sweep-metric", "value"),
        Input("sweep-drawn", "data"),
        State("sweep-shown", "data"),
        State("sweep-explained", "data"),
    )
    def explain(metric: object, drawn: object, id: object, explained: object) -> Any:
        if (ctx.triggered_id == "sweep-drawn" and drawn == explained) or not index.view.rows:
            return (no_update,) * 4
        comparison, name = _asked(index, id, metric)
        cells, told = cells_of(comparison, name), _version(drawn)
        return _why(comparison, cells, name), _costs(comparison, cells, name), _stops(index, text(id), comparison), told


def _version(drawn: object) -> int:
    """The version that a page says it drew: it may say anything, and is answered with it."""
    return int(bounded(drawn, -1, 1e15, -1))


def _register_controls(app: Dash, index: LiveIndex) -> None:
    """What is saved, another sweep, the address."""

    save_as_csv(app, "sweep-cells", "sweep-csv")

    @app.callback(
        Output("url", "search"), Input("sweep-id", "value"), State("sweep-shown", "data"), prevent_initial_call=True
    )
    def other_sweep(id: object, shown: object) -> Any:
        return no_update if id == shown or index.view.sweep(text(id)) is None else search_of({"sweep": text(id)})

    @app.callback(
        Output("query", "data", allow_duplicate=True),
        Input("sweep-metric", "value"),
        Input("sweep-x", "value"),
        Input("sweep-y", "value"),
        Input("sweep-reducer", "value"),
        State("sweep-shown", "data"),
        prevent_initial_call=True,
    )
    def address(metric: object, x: object, y: object, reducer: object, id: object) -> str:
        how = "" if reducer == "best" else text(reducer)
        return search_of({"sweep": text(id), "metric": text(metric), "x": text(x), "y": text(y), "reducer": how})


def _why(comparison: Comparison, cells: pd.DataFrame, metric: str) -> Sequence[Component]:
    """Importance of the settings: from the best points, and exactly where the grid is complete."""
    import optuna  # a second of start-up that no other page needs

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    goal = goal_of(metric, comparison) or "minimize"
    shares = ped_anova(cells, comparison.factors, goal)
    effects = anova(comparison.runs, comparison.factors, metric)
    parts = [finished("sweep-importance", importance_bars(shares, metric))] if shares else []
    parts += [finished("sweep-variance", variance_bars(effects, metric))] if effects else []
    return parts or [html.P("What mattered cannot be told from so few finished cells.", className="hint")]


def _costs(comparison: Comparison, cells: pd.DataFrame, metric: str) -> list[Component]:
    """The metric against each cost, with the front that nothing beats."""
    goal = goal_of(metric, comparison)
    return [
        finished(f"sweep-against-{cost}", against(cells, cost=cost, metric=metric, looks=comparison.looks, goal=goal))
        for cost in COSTS
        if cells[cost].notna().any()
    ]


def _stops(index: LiveIndex, id: str, comparison: Comparison) -> list[Component]:
    """The decisions of hyperband or asynchronous halving, for each metric by which trials were stopped."""
    sweep = index.view.sweep(id)
    stops = stops_of(sweep)
    if sweep is None or not len(stops):
        return []
    return [
        finished(f"sweep-stops-{place}", stop_figure(stops, curves_for(index, sweep, comparison, metric), metric))
        for place, metric in enumerate(list(dict.fromkeys(stops["metric"]))[:3])
    ]
