"""What a table is filtered and sorted by, in an address: columns by their names, every value checked on its way in."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lit_transformer.compare.dashboard.query import bounded
from lit_transformer.compare.plain import clean, number

BLANK = ("blank", "notBlank")
TEXT = ("contains", "notContains", "equals", "notEqual", "startsWith", "endsWith")
NUMBER = (
    "equals", "notEqual", "greaterThan", "greaterThanOrEqual", "lessThan", "lessThanOrEqual", "inRange",
)  # fmt: skip
MAX_FILTERS = 20
MAX_CONDITIONS = 2
"""Of one column: AG Grid's menu has as many."""
MAX_TEXT = 200
ORDERS = ("asc", "desc")

Model = dict[str, Any]
"""AG Grid's filterModel: field -> what is asked of it."""


def filters_of(written: str, fields: Mapping[str, str], numeric: Sequence[str]) -> Model:
    """The filters that an address says, such as `{"val/loss":[["lessThan",2]]}`, as AG Grid takes them.

    `fields` are those of the columns by name, `numeric` the fields that are filtered by size. Whatever is not a filter
    of one of them is left out.
    """
    try:
        found = json.loads(written) if written else {}
    except (ValueError, RecursionError):
        return {}
    model: Model = {}
    for name, asked in list(found.items())[:MAX_FILTERS] if isinstance(found, dict) else ():
        field = fields.get(clean(name))
        if field is not None and (made := _made(asked, field in numeric)):
            model[field] = made
    return model


def _made(asked: object, numeric: bool) -> Model:
    """One column's filter; two conditions hold together unless the first item is `OR`."""
    items = asked if isinstance(asked, list) else []
    either = items[:1] == ["OR"]
    made = [_condition(item, numeric) for item in items[either : MAX_CONDITIONS + either]]
    conditions = [condition for condition in made if condition]
    if len(conditions) < 2:
        return conditions[0] if conditions else {}
    operator = "OR" if either else "AND"
    return {"filterType": conditions[0]["filterType"], "operator": operator, "conditions": conditions}


def _condition(item: object, numeric: bool) -> Model:
    parts = item if isinstance(item, list) else []
    kind = parts[0] if parts and isinstance(parts[0], str) else ""
    made: Model = {"filterType": "number" if numeric else "text", "type": kind}
    if kind in BLANK:
        return made
    if not numeric:
        good = kind in TEXT and len(parts) > 1 and isinstance(parts[1], str) and parts[1]
        return {**made, "filter": clean(parts[1])[:MAX_TEXT]} if good else {}
    ends = [number(value) for value in parts[1 : 3 if kind == "inRange" else 2]]
    if kind not in NUMBER or len(ends) != (2 if kind == "inRange" else 1) or any(_unfit(end) for end in ends):
        return {}
    return {**made, "filter": ends[0], **({"filterTo": ends[1]} if kind == "inRange" else {})}


def _unfit(end: float) -> bool:
    return not -1e300 < end < 1e300


def written_filters(model: object, fields: Mapping[str, str], numeric: Sequence[str]) -> str:
    """The filters of a table as an address holds them; empty where there are none."""
    found: dict[str, list[object]] = {}
    for name, field in fields.items():
        asked = model.get(field) if isinstance(model, Mapping) else None
        if isinstance(asked, Mapping):
            several = asked.get("conditions")
            conditions = several if isinstance(several, list) else [asked]
            either = ["OR"] if asked.get("operator") == "OR" else []
            found[name] = [*either, *(_written(one) for one in conditions if isinstance(one, Mapping))]
    checked = filters_of(json.dumps(found), fields, numeric)
    kept = {name: asked for name, asked in found.items() if fields[name] in checked}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")) if kept else ""


def _written(condition: Mapping[str, Any]) -> list[object]:
    values = [condition.get("filter"), condition.get("filterTo")]
    return [condition.get("type"), *(value for value in values if isinstance(value, str | int | float))]


def sorting_of(written: Sequence[str], fields: Mapping[str, str]) -> dict[str, str]:
    """The order that an address says, such as `val/loss:desc`: field -> `asc` or `desc`, the first one first."""
    parts = [item.rpartition(":") for item in written[:MAX_FILTERS]]
    return {fields[name]: order for name, _, order in parts if name in fields and order in ORDERS}


def written_sorting(state: object, fields: Mapping[str, str]) -> list[str]:
    """The order of a table, from AG Grid's columnState, as an address holds it."""
    names = {field: name for name, field in fields.items()}
    columns = [column for column in state if isinstance(column, Mapping)] if isinstance(state, list) else []
    sorted_by = [
        (bounded(column.get("sortIndex"), 0, 1_000, 0), names[column["colId"]], column["sort"])
        for column in columns[:1_000]
        if column.get("sort") in ORDERS and isinstance(column.get("colId"), str) and column["colId"] in names
    ]
    return [f"{name}:{order}" for _, name, order in sorted(sorted_by)[:MAX_FILTERS]]
