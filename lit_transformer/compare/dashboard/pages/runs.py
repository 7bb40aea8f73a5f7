"""The page of all runs: a table to search, sort, filter and group, live while they train."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.dashboard.grid_state import (
    filters_of,
    sorting_of,
    written_filters,
    written_sorting,
)
from lit_transformer.compare.dashboard.index import LiveIndex, View
from lit_transformer.compare.dashboard.parts import (
    GRID_OPTIONS,
    control,
    href,
    menu,
    offered,
    picked,
    save_as_csv,
    table,
)
from lit_transformer.compare.dashboard.query import Query, search_of, text, texts
from lit_transformer.compare.dashboard.run_columns import column_defs, in_order, named_fields, numeric_fields
from lit_transformer.compare.dashboard.run_table import (
    MAX_COLUMNS,
    all_columns,
    default_columns,
    group_rows,
    run_rows,
)

PATH = "/"
RUNS_OPTIONS = {
    "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
    "selectionColumnDef": {"pinned": "left", "width": 46},
    "animateRows": False,
    "suppressDragLeaveHidesColumns": True,
    "tooltipShowDelay": 300,
}


def layout(index: LiveIndex, query: Query) -> Component:
    """The page as the address says: `q` is searched for, `cols` are shown, `group` by which runs are averaged,
    `filter` and `sort` by column."""
    view = index.view
    comparison = index.comparison() if view.rows else None
    names = all_columns(comparison) if comparison else []
    columns, keys = _chosen(comparison, query.several("cols")), [k for k in query.several("group") if k in names]
    return html.Div(
        [
            html.H1("Runs"),
            html.P(id="runs-summary", className="hint", role="status"),
            html.Div(
                [
                    control(
                        "Search", dcc.Input(id="runs-search", type="search", value=query.text("q"), debounce=False)
                    ),
                    control(
                        "Group by", menu("runs-group", picked(names, keys), keys, multi=True, placeholder="nothing")
                    ),
                    control("Columns", menu("runs-columns", picked(names, columns), columns, multi=True), wide=True),
                    html.Button("CSV", id="runs-csv", title="Save what the table shows as CSV"),
                    html.Span(id="runs-links", className="links"),
                ],
                className="controls",
            ),
            _grid(query),
            dcc.Store(id="runs-slots", data=columns),
            dcc.Store(id="runs-asked", data=_asked(query, comparison, columns, bool(keys))),
        ]
    )


def _grid(query: Query) -> Component:
    return table(
        "runs-grid",
        "runs.csv",
        look="table",
        defaults={
            "filter": True,
            "floatingFilter": True,
            "minWidth": 90,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
        },
        options={**RUNS_OPTIONS, "quickFilterText": query.text("q")},
        row_id="params.data.id",
    )


def _asked(query: Query, comparison: Comparison | None, columns: Sequence[str], grouped: bool) -> dict[str, Any]:
    """The filters and the order that the address asks for, until the table is there and takes them."""
    if comparison is None:
        return {}
    fields, numeric = named_fields(columns, columns), numeric_fields(column_defs(comparison, columns, grouped))
    return {
        "filters": filters_of(query.text("filter"), fields, numeric),
        "order": list(sorting_of(query.several("sort"), fields).items()),
    }


def _chosen(comparison: Comparison | None, wanted: Sequence[str]) -> list[str]:
    if comparison is None:
        return []
    known = set(all_columns(comparison))
    return [name for name in wanted if name in known][:MAX_COLUMNS] or default_columns(comparison)


def summary(view: View, notes: Sequence[str]) -> str:
    """How many runs there are, and in which states."""
    if not view.rows:
        return "; ".join(
            ["No run here yet. A run or sweep that is started below this folder appears by itself.", *notes]
        )
    counts = Counter(row.status for row in view.rows)
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return "; ".join([f"{len(view.rows)} {'run' if len(view.rows) == 1 else 'runs'}: {states}", *notes])


def register(app: Dash, index: LiveIndex) -> None:
    """The table follows its controls and the disk."""
    _register_controls(app, index)
    _register_address(app, index)

    @app.callback(
        Output("runs-grid", "columnDefs"),
        Output("runs-grid", "rowData"),
        Output("runs-summary", "children"),
        Output("runs-slots", "data"),
        Output("runs-grid", "filterModel"),
        Input("runs-columns", "value"),
        Input("runs-group", "value"),
        Input("version", "data"),
        State("runs-slots", "data"),
        State("runs-grid", "filterModel"),
        State("runs-asked", "data"),
    )
    def fill(columns: object, group: object, _: object, slots: object, filters: object, asked: object) -> Any:
        view = index.refresh()
        told = summary(view, view.notes)
        if not view.rows:
            return [], [], told, no_update, no_update
        comparison = index.comparison()
        shown = _chosen(comparison, texts(columns))
        keys = [key for key in texts(group) if key in set(all_columns(comparison))]
        known = list(dict.fromkeys([*texts(slots), *shown]))
        rows = group_rows(view, shown, keys, known) if keys else run_rows(view, shown, known)
        if ctx.triggered_id == "version" and texts(slots) == known:
            return no_update, rows, told, no_update, no_update
        defs = in_order(column_defs(comparison, shown, bool(keys), known), asked)
        there = {column["field"] for column in defs}
        model = filters if isinstance(filters, dict) else {}
        kept = {field: condition for field, condition in model.items() if field in there}
        return defs, rows, told, known, no_update if kept == model else kept


def _register_controls(app: Dash, index: LiveIndex) -> None:
    """Menus, search, what is saved and linked."""

    @app.callback(
        Output("runs-columns", "options"), Input("runs-columns", "search_value"), State("runs-columns", "value")
    )
    def offer_columns(search: object, chosen: object) -> Any:
        return offered(all_columns(index.comparison()), texts(chosen), search) if index.view.rows else []

    @app.callback(Output("runs-group", "options"), Input("runs-group", "search_value"), State("runs-group", "value"))
    def offer_keys(search: object, chosen: object) -> Any:
        return offered(all_columns(index.comparison()), texts(chosen), search) if index.view.rows else []

    @app.callback(Output("runs-grid", "dashGridOptions"), Input("runs-search", "value"), prevent_initial_call=True)
    def search_for(wanted: object) -> Any:
        return {**GRID_OPTIONS, **RUNS_OPTIONS, "quickFilterText": text(wanted)}

    save_as_csv(app, "runs-grid", "runs-csv")

    @app.callback(Output("runs-links", "children"), Input("runs-grid", "selectedRows"))
    def links(selected: object) -> Any:
        rows = selected if isinstance(selected, list) else []
        ids = [row["id"] for row in rows if isinstance(row, dict) and index.run(text(row.get("id")))]
        if not ids:
            return "Tick runs to compare them."
        return [
            dcc.Link(f"Curves of {len(ids)}", href=href("/curves", runs=ids)),
            dcc.Link(f"Compare {len(ids)}", href=href("/compare", runs=ids)),
        ]


def _register_address(app: Dash, index: LiveIndex) -> None:
    """The table takes filters and order from the address, then the address follows the page."""

    @app.callback(
        Output("runs-grid", "filterModel", allow_duplicate=True),
        Output("runs-asked", "data"),
        Input("runs-grid", "columnState"),
        State("runs-asked", "data"),
        prevent_initial_call=True,
    )
    def take(state: object, asked: object) -> Any:
        """The table forgets filters that it is made with, and takes them once its columns are there."""
        if not state or not asked:
            return no_update, no_update
        filters = asked.get("filters") if isinstance(asked, Mapping) else None
        return filters if isinstance(filters, dict) and filters else no_update, {}

    @app.callback(
        Output("query", "data", allow_duplicate=True),
        Input("runs-search", "value"),
        Input("runs-columns", "value"),
        Input("runs-group", "value"),
        Input("runs-slots", "data"),
        Input("runs-grid", "filterModel"),
        Input("runs-grid", "columnState"),
        Input("runs-asked", "data"),
        prevent_initial_call=True,
    )
    def address(
        search: object, columns: object, group: object, slots: object, filters: object, state: object, asked: object
    ) -> Any:
        if asked or not index.view.rows:  # the table has not taken yet what the address says
            return no_update
        comparison = index.comparison()
        shown = _chosen(comparison, texts(columns))
        defs = column_defs(comparison, shown, bool(texts(group)), texts(slots))
        fields = named_fields(shown, texts(slots))
        return PATH + search_of(
            {
                "q": text(search),
                "group": texts(group),
                "cols": [] if shown == default_columns(comparison) else shown,
                "filter": written_filters(filters, fields, numeric_fields(defs)),
                "sort": written_sorting(state, fields),
            }
        )
