"""The pages; each module has `PATH`, `layout(index, query)` and `register(app, index)`."""

from typing import Protocol

from dash import Dash
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.pages import compare, curves, run, runs, sweep
from lit_transformer.compare.dashboard.query import Query


class Page(Protocol):
    """What a page's module offers."""

    PATH: str

    def layout(self, index: LiveIndex, query: Query) -> Component:
        """The page in the state that its address says."""

    def register(self, app: Dash, index: LiveIndex) -> None:
        """Its callbacks."""


PAGE_MODULES = (runs, curves, run, sweep, compare)


def page_for(pathname: str) -> "Page | None":
    """The module of an address; None where there is none."""
    wanted = pathname.rstrip("/") or "/"
    return next((module for module in PAGE_MODULES if wanted == module.PATH), None)
