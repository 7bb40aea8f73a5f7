"""The state of a page as the query of its address: hostile text on its way in, short text on its way out."""

import math
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlencode

from lit_transformer.compare.plain import clean

MAX_LENGTH = 16_000
"""Characters of a query: 1,000 chosen runs fit, and no browser or proxy refuses it."""
MAX_FIELDS = 64
JOINER = "\u2060"
_INHERITED = re.compile("__proto__|constructor", re.IGNORECASE)


class Query:
    """The fields of a query; every reader takes what is allowed and leaves the rest."""

    def __init__(self, search: object) -> None:
        text = clean(search) if isinstance(search, str) and len(search) <= MAX_LENGTH else ""
        try:
            pairs = parse_qsl(text.removeprefix("?"), max_num_fields=MAX_FIELDS, errors="replace")
        except ValueError:
            pairs = []
        self._fields = dict(pairs)

    def text(self, name: str, default: str = "") -> str:
        return self._fields.get(name, default)

    def choice(self, name: str, allowed: Iterable[str], default: str) -> str:
        """The field where it is one of `allowed`."""
        value = self._fields.get(name)
        return value if value is not None and value in set(allowed) else default

    def several(self, name: str) -> list[str]:
        """The parts of a field that are separated by `~`, which no dotted key and no metric bears."""
        return [part for part in self._fields.get(name, "").split("~") if part]

    def number(self, name: str, low: float, high: float, default: float) -> float:
        """The field as a number between `low` and `high`."""
        return bounded(self._fields.get(name), low, high, default)


def bounded(value: object, low: float, high: float, default: float) -> float:
    """A number from a page between `low` and `high`; `default` where it is none."""
    try:
        real = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return default
    return min(high, max(low, real)) if not math.isnan(real) else default


def menu_text(text: str) -> str:
    """A name as Dash's menus take it: their index of words writes these two into every object of the page.

    A joiner that nobody sees parts them; `text` and `texts` take it out.
    """
    return _INHERITED.sub(lambda found: found[0][:4] + JOINER + found[0][4:], text)


def texts(value: object, limit: int = 2_000) -> list[str]:
    """The texts in what a page sent where a list of them, or one, is expected."""
    items = value if isinstance(value, list) else [value]
    return [clean(item).replace(JOINER, "") for item in items[:limit] if isinstance(item, str) and item]


def text(value: object, default: str = "") -> str:
    """What a page sent where one text is expected."""
    return clean(value).replace(JOINER, "") if isinstance(value, str) else default


def search_of(fields: Mapping[str, object]) -> str:
    """A query that says `fields`, those left out that are empty."""
    pairs = {
        name: "~".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        for name, value in fields.items()
        if value not in ("", None, [], ())
    }
    return f"?{urlencode(pairs, errors='replace')}" if pairs else ""
