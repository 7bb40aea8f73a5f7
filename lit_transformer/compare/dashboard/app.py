"""The Dash application: a frame with the pages' links, the page that the address names, and a clock."""

from html import escape as html_text
from importlib.resources import files
from typing import Any

import dash
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.pages import PAGE_MODULES, page_for
from lit_transformer.compare.dashboard.parts import PAGES, message
from lit_transformer.compare.dashboard.query import Query, text
from lit_transformer.compare.plain import clean

TICK = 1_000
"""Milliseconds between two questions of an open page whether anything is new; the answer is empty where not."""


def make_app(index: LiveIndex) -> Dash:
    """The application over `index`; its WSGI application, `app.server`, must be served behind `security.Guard`."""
    app = Dash(
        "lit_transformer.compare.dashboard",
        assets_folder=str(files("lit_transformer.compare.dashboard") / "assets"),
        serve_locally=True,
        suppress_callback_exceptions=True,
        update_title=None,  # type: ignore[arg-type]
        title=html_text(_name(index)),  # Dash puts it into the page as it is
        health_endpoint=None,
    )
    app.index_string = app.index_string.replace("<html>", '<html lang="en">')
    app.layout = _frame(index)
    _register_frame(app, index)
    for module in PAGE_MODULES:
        module.register(app, index)
    return app


def _link(path: str, name: str) -> Component:
    """A page's link; the sweep's is loaded anew: its own security policy lets plotly draw parallel coordinates."""
    made = html.A if path == "/sweep" else dcc.Link
    return made(name, href=path, id=f"link-{name.lower()}")


def _name(index: LiveIndex) -> str:
    """The folder's name, which may hold anything."""
    return clean(index.root.resolve().name) or "runs"


def _frame(index: LiveIndex) -> Component:
    links = [_link(path, name) for path, name in PAGES]
    labelled: Any = {"aria-label": "Pages"}
    return html.Div(
        [
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="version", data=index.view.version),
            dcc.Store(id="query"),
            dcc.Interval(id="tick", interval=TICK),
            html.A("Skip to the page", href="#page", className="skip"),
            html.Header([html.Strong(_name(index)), html.Nav(links, **labelled)]),
            html.Main(id="page", tabIndex=-1),
        ]
    )


def _register_frame(app: Dash, index: LiveIndex) -> None:
    @app.callback(Output("page", "children"), Input("url", "pathname"), Input("url", "search"))
    def show_page(pathname: object, search: object) -> Any:
        module = page_for(text(pathname))
        if module is None:
            return message("There is no such page.")
        return module.layout(index, Query(search))

    @app.callback(Output("version", "data"), Input("tick", "n_intervals"), State("version", "data"))
    def look(_: object, known: object) -> Any:
        version = index.refresh().version
        if version == known:
            raise PreventUpdate
        return version

    app.clientside_callback(
        dash.ClientsideFunction("lit_transformer", "address"), Output("query", "id"), Input("query", "data")
    )
    app.clientside_callback(
        dash.ClientsideFunction("lit_transformer", "current"), Output("url", "id"), Input("url", "pathname")
    )
