"""A row as it stands in its source."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean


class Row(NamedTuple):
    """Texts by name, and where they stand."""

    fields: Mapping[str, str]
    """Numbers spelled out, what is nested under dotted names; nothing for a blank line."""
    place: str
    """File and line, for messages."""


class RowSource(Protocol):
    """Rows from one place."""

    def digest(self) -> str:
        """Hash of everything that the rows depend on."""
        ...

    def rows(self) -> Iterator[Row]:
        """The rows, in a fixed order."""
        ...


@dataclass(frozen=True)
class ListRows:
    """Rows in memory."""

    items: list[Row]

    def digest(self) -> str:
        """Hash of the rows' fields."""
        whole = hashlib.blake2b(digest_size=20)
        for row in self.items:
            whole.update(json.dumps(row.fields, sort_keys=True).encode() + b"\n")
        return whole.hexdigest()

    def rows(self) -> Iterator[Row]:
        """The rows."""
        return iter(self.items)


def flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of what a JSON value holds: `{"a": {"de": "x"}, "b": [1]}` gives a.de and b.0; null is empty."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{name}.{index}")
    elif isinstance(value, bool):
        yield name, str(value).lower()
    else:
        yield name, "" if value is None else str(value)


def field(row: Row, name: str, setting: str) -> str:
    """The text of a field that a setting names; raises UserError with the place, what there is and a near miss."""
    if name in row.fields:
        return row.fields[name]
    known = list(row.fields)
    if not name.isdigit() and all(key.isdigit() for key in known):
        fix = "name a column by its number, or set data.header=true where the first row names them"
    elif near := did_you_mean(name, known):
        fix = f"did you mean {setting}={near}?"
    else:
        fix = f"set {setting} to one of them"
    raise UserError(
        f"{row.place}: no field {name!r}\n  got      {setting}={name}\n"
        f"  allowed  {', '.join(known[:20])}\n  fix      {fix}"
    )
