"""The columns of the table of runs as AG Grid takes them, and the fields by which their filters and order are known."""

from collections.abc import Mapping, Sequence
from typing import Any

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.dashboard.grid_state import ORDERS
from lit_transformer.compare.dashboard.query import text
from lit_transformer.compare.dashboard.run_table import fields_of, format_of, is_number
from lit_transformer.compare.style import short


def named_fields(columns: Sequence[str], slots: Sequence[str]) -> dict[str, str]:
    """The fields of all columns of the table by the names that an address gives them."""
    return {**fields_of(columns, slots), "run": "run", "status": "status", "runs": "count"}


def numeric_fields(defs: Sequence[dict[str, Any]]) -> list[str]:
    """The fields that are filtered by size."""
    return [column["field"] for column in defs if column["filter"] == "agNumberColumnFilter"]


def column_defs(
    comparison: Comparison, columns: Sequence[str], grouped: bool, slots: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The table's columns as AG Grid takes them; a name is text in a heading and never a field."""
    defs: list[dict[str, Any]] = [
        {
            "field": "run",
            "headerName": "group" if grouped else "run",
            "pinned": "left",
            "minWidth": 240,
            "flex": 2,
            "cellRenderer": "RunLink",
            "filter": "agTextColumnFilter",
            "tooltipField": "run",
        },
        {
            "field": "status",
            "headerName": "status",
            "width": 120,
            "cellRenderer": "RunState",
            "filter": "agTextColumnFilter",
        },
    ]
    if grouped:
        defs.append({"field": "count", "headerName": "runs", "width": 90, "filter": "agNumberColumnFilter"})
    shorts = [short(name) for name in columns]
    for name, field in fields_of(columns, slots).items():
        numeric = is_number(comparison, name) or name == "eta"
        column: dict[str, Any] = {
            "field": field,
            "headerName": short(name) if shorts.count(short(name)) == 1 else name,
            "headerTooltip": name,
            "filter": "agNumberColumnFilter" if numeric else "agTextColumnFilter",
            "flex": 1,
            "minWidth": 110 if name != "error" else 220,
        }
        if numeric:
            column["type"] = "rightAligned"
            column["valueFormatter"] = {"function": f"{format_of(name)}(params)"}
        if name == "error":
            column["tooltipField"] = field
        defs.append(column)
    return defs


def in_order(defs: Sequence[dict[str, Any]], asked: object) -> list[dict[str, Any]]:
    """The columns with the order that was asked for and not taken yet: AG Grid heeds it when it makes a column."""
    order = asked.get("order") if isinstance(asked, Mapping) else None
    pairs = [pair for pair in order if isinstance(pair, list) and len(pair) == 2] if isinstance(order, list) else []
    first = {
        text(field): {"initialSort": way, "initialSortIndex": place}
        for place, (field, way) in enumerate(pairs)
        if way in ORDERS
    }
    return [{**column, **first.get(column["field"], {})} for column in defs]
