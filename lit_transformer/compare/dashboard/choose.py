"""Which runs a page shows: those that were ticked, or those that match what was typed."""

import re
from collections.abc import Callable, Sequence

from lit_transformer.compare.dashboard.index import View
from lit_transformer.compare.dashboard.run_table import value_of
from lit_transformer.compare.plain import label, number
from lit_transformer.compare.read import Row

_TERM = re.compile(r"(?P<key>[^=<>!\s]+)(?P<sign>!=|<=|>=|=|<|>)(?P<value>\S*)")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b,
}  # fmt: skip
MAX_TERMS = 20
FILTER_HELP = "words of a name or state, or num_heads=4, val/loss<2"


def matches(row: Row, wanted: str) -> bool:
    """Whether a run fits all words of `wanted`: each a part of its name or its state, or a condition on one field.

    A key may be shortened to its last part, as in `num_heads=4`.
    """
    return all(_fits(row, term) for term in wanted.split()[:MAX_TERMS])


def _fits(row: Row, term: str) -> bool:
    found = _TERM.fullmatch(term)
    if found is None:
        return term.lower() in row.run.lower() or term.lower() == row.status
    value, wanted = field_of(row, found["key"]), found["value"]
    if found["sign"] in _SIGNS:
        return _SIGNS[found["sign"]](number(value), _real(wanted))
    same = label(value).lower() == wanted.lower() or (number(value) == _real(wanted))
    return same if found["sign"] == "=" else not same


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def field_of(row: Row, key: str) -> object:
    """A field of a run by its whole name, else by the last part of a dotted key."""
    if key == "status":
        return row.status
    if key == "run":
        return row.run
    value = value_of(row, key, None)
    if value is None:
        end = f".{key}"
        value = next((item for name, item in row.config.items() if name.endswith(end)), None)
    return value


def chosen(view: View, ids: Sequence[str], wanted: str) -> list[str]:
    """The ids that a page shows, of runs that were begun: the ticked ones, or all; of them those that match."""
    pool = [id for id in ids if id in view.places] if ids else view.ids
    rows = ((id, view.rows[view.places[id]]) for id in pool)
    return [id for id, row in rows if row.status not in ("missing", "impossible") and matches(row, wanted)]
