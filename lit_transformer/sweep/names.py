"""Names of cells: readable, safe as file names, and a pure function of the swept values."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

import yaml

LONGEST = 120
"""Characters of a name at most; claims add a few, and file systems end at 255 bytes."""
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.+-]*")


def canonical(value: object) -> object:
    """`value` with whole floats as integers, however deep: 8.0 and 8 are one value of a grid, as in W&B."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:  # beyond, an integer has many digits
        return int(value)
    if isinstance(value, dict):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return value


def identity(value: object) -> str:
    """Text that two values share only where they are the same value: `1` and `true` differ, `1` and `1.0` do not."""
    return json.dumps(canonical(value), sort_keys=True, ensure_ascii=False)


def cell_name(values: Mapping[str, object]) -> str:
    """The name of the cell with these swept values, such as `num_heads=2,num_layers=4`.

    A key is its last part, or whole where two end alike. A hash of all keys and values is added where the readable part
    is cut, or says less than the values do: capitals (file systems that ignore case), signs, lists, the text "1".
    """
    short = _short_keys(values)
    parts = [(short[key], *_readable(values[key])) for key in sorted(values)]
    name = ",".join(f"{key}={text}" for key, text, _ in parts) or "single"
    if all(exact for _, _, exact in parts) and len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(identity(dict(values)).encode()).hexdigest()[:10]
    return f"{name[: LONGEST - 11]}-{digest}"


def drawn_name(number: int, values: Mapping[str, object]) -> str:
    """The name of a cell that was drawn, such as `0007,dropout=0.1132,lr=0.0007235`.

    Its number tells it from all others, so the values are cut to what a person reads; whatever file systems make of
    capitals or drop at the end is no matter.
    """
    short = _short_keys(values)
    parts = [f"{short[key]}={_readable(_cut(values[key]))[0]}" for key in sorted(values)]
    return ",".join([f"{number:04d}", *parts])[:LONGEST].rstrip("-,=.")


def _cut(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def slug(text: str) -> str:
    """`text` as a folder's name: letters, digits and `_ . + -`, the rest as `-`."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text).strip("-.") or "sweep"


def _short_keys(keys: Iterable[str]) -> dict[str, str]:
    keys = list(keys)
    last = {key: key.rsplit(".", 1)[-1] for key in keys}
    ends = list(last.values())
    return {key: last[key] if ends.count(last[key]) == 1 else key for key in keys}


def _readable(value: object) -> tuple[str, bool]:
    """A value as text, and whether the text alone gives the value back."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(canonical(value)), True
    if isinstance(value, str) and _PLAIN.fullmatch(value) and yaml.safe_load(value) == value:
        return value, True
    text = value if isinstance(value, str) else json.dumps(canonical(value))
    return re.sub(r"[^A-Za-z0-9_.+]+", "-", text).strip("-"), False
