"""The table of runs: its columns, and its rows, one a run or one a group of runs."""

import math
from collections.abc import Sequence

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.dashboard.index import View
from lit_transformer.compare.dashboard.parts import colour_of
from lit_transformer.compare.plain import label, number, order
from lit_transformer.compare.read import FIELDS, Row
from lit_transformer.compare.statistics import PROVISIONAL, mean_sd

OWN = ("run", "status", "eta", "error")
MAX_DEFAULT = 6
MAX_COLUMNS = 60
MAX_ERROR = 600


def all_columns(comparison: Comparison) -> list[str]:
    """Every column that can be shown: what was swept, metrics, costs, then all other settings."""
    runs = comparison.runs
    settings = [name for name in runs.columns if name not in {*OWN, *FIELDS, "problem"} and "/" not in name]
    metrics = [str(name) for name in runs.columns if "/" in str(name)]
    return list(dict.fromkeys([*comparison.swept, *comparison.metrics, *FIELDS, *settings, *metrics, "eta", "error"]))


def default_columns(comparison: Comparison) -> list[str]:
    """What is shown where nobody chose: what was swept, the first metrics, costs, what is left to do, errors."""
    shown = [*comparison.swept[:MAX_DEFAULT], *comparison.metrics[:3], "parameters", "seconds", "eta", "error"]
    return list(dict.fromkeys(shown))


def is_number(comparison: Comparison, name: str) -> bool:
    """Whether a column holds numbers, which are filtered by size."""
    if name not in comparison.runs.columns:
        return False
    return comparison.runs[name].dtype.kind in "fiu"


def value_of(row: Row, name: str, eta: float | None) -> object:
    """A field of a run: None where it has none."""
    if name == "eta":
        return eta
    if name == "error":
        return "; ".join(text for text in (row.problem, row.error) if text)[:MAX_ERROR] or None
    if name in FIELDS:
        return row.fields.get(name)
    return row.config[name] if name in row.config else row.metrics.get(name)


def shown_value(value: object) -> object:
    """A value as the table takes it: finite numbers as they are, anything else as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        real = number(value)
        return value if math.isfinite(real) and abs(real) < 2**53 else label(value)
    return label(value)


def fields_of(columns: Sequence[str], slots: Sequence[str] = ()) -> dict[str, str]:
    """The field of each column: `c0`, `c1` ... by its place in `slots`, since its own name may hold anything.

    A column keeps its field while a page is open, and so its filter and its place in the order of rows.
    """
    places = {name: place for place, name in enumerate(dict.fromkeys([*slots, *columns]))}
    return {name: f"c{places[name]}" for name in columns}


def run_rows(view: View, columns: Sequence[str], slots: Sequence[str] = ()) -> list[dict[str, object]]:
    """One row a run, with the `fields_of` its columns."""
    rows, fields = [], fields_of(columns, slots)
    for id, row in zip(view.ids, view.rows, strict=True):
        eta = view.etas.get(id)
        cells = {field: shown_value(value_of(row, name, eta)) for name, field in fields.items()}
        rows.append({"id": id, "run": row.run, "status": row.status, "colour": colour_of(view.colours[id]), **cells})
    return rows


def group_rows(
    view: View, columns: Sequence[str], keys: Sequence[str], slots: Sequence[str] = ()
) -> list[dict[str, object]]:
    """One row a group of runs alike in `keys`: mean, sd and count of each number over its complete runs.

    `c0` is the mean, `c0s` the sample standard deviation; a text stands where all runs of the group share it.
    """
    groups: dict[tuple[str, ...], list[tuple[str, Row]]] = {}
    for id, row in zip(view.ids, view.rows, strict=True):
        groups.setdefault(tuple(label(value_of(row, key, None)) for key in keys), []).append((id, row))
    ordered = sorted(groups.items(), key=lambda item: [order(_as_number(part)) for part in item[0]])
    fields = fields_of(columns, slots)
    return [_group(point, members, fields, keys, view) for point, members in ordered]


def _as_number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def counted(rows: Sequence[Row]) -> list[Row]:
    """The runs whose numbers count: the complete ones, else those that are not over or were stopped."""
    complete = [row for row in rows if row.status == "complete"]
    return complete or [row for row in rows if row.status in PROVISIONAL]


def _group(
    point: tuple[str, ...], members: list[tuple[str, Row]], fields: dict[str, str], keys: Sequence[str], view: View
) -> dict[str, object]:
    rows = [row for _, row in members]
    states = {status: sum(row.status == status for row in rows) for status in dict.fromkeys(row.status for row in rows)}
    group: dict[str, object] = {
        "id": "|".join(id for id, _ in members[:1]),
        "run": ", ".join(f"{key} = {value}" for key, value in zip(keys, point, strict=True)),
        "status": next(iter(states)) if len(states) == 1 else ", ".join(f"{n} {s}" for s, n in states.items()),
        "colour": colour_of(view.colours[members[0][0]]),
        "count": len(rows),
    }
    numbers = counted(rows)
    for name, field in fields.items():
        values = [value_of(row, name, None) for row in rows]
        if name in keys or len({label(value) for value in values}) == 1:
            group[field] = shown_value(values[0])
            continue
        if any(name in row.config for row in rows):  # a setting: nobody wants the mean of seeds
            distinct = list(dict.fromkeys(label(value) for value in values))
            group[field] = ", ".join(distinct[:4]) + (" ..." if len(distinct) > 4 else "")
            continue
        mean, sd, n = mean_sd(number(value_of(row, name, None)) for row in numbers)
        if n:
            group |= {field: mean, f"{field}s": sd if math.isfinite(sd) else None, f"{field}n": n}
    return group


def format_of(name: str) -> str:
    """Which of the page's formats a column takes."""
    if name in ("eta", "seconds"):
        return "duration"
    return "count" if name in FIELDS else "measured"
