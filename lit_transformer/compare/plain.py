"""Values and names from files that may hold anything, made safe to keep, show and print."""

import json
import math

MAX_DEPTH = 8
MAX_INT64 = 2**63 - 1


def clean(text: str) -> str:
    """`text` that every encoder takes: lone surrogates, which JSON and file names can hold, become `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def printable(text: str) -> str:
    """`text` on one line without control characters, so that a name cannot move a terminal's cursor."""
    return "".join(character if character.isprintable() else " " for character in clean(text))


def plain(value: object) -> object:
    """A setting as a table holds it: numbers, booleans, None and text as they are, anything else as JSON."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return clean(value)
    try:
        return clean(json.dumps(value, ensure_ascii=False, default=str))
    except (ValueError, TypeError, RecursionError):  # a YAML anchor can make a value that holds itself
        return type(value).__name__


def flatten(config: dict[str, object]) -> dict[str, object]:
    """Nested dicts as one with dotted keys, such as `model.num_heads`."""
    flat: dict[str, object] = {}

    def visit(prefix: str, value: object, depth: int) -> None:
        if isinstance(value, dict) and value and depth < MAX_DEPTH:
            for key, item in value.items():
                name = clean(str(key))
                visit(f"{prefix}.{name}" if prefix else name, item, depth + 1)
        else:
            flat[prefix] = plain(value)

    for key, item in config.items():
        visit(clean(str(key)), item, 1)
    return flat


def number(value: object) -> float:
    """A measured value as a float; NaN for null, text and anything else that is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def whole(value: object) -> int | None:
    """A count as an int of 64 bits at most; None for anything else."""
    real = number(value)
    return int(real) if math.isfinite(real) and abs(real) < MAX_INT64 else None


def label(value: object) -> str:
    """A setting as a person writes it: `null`, `true`, 2 for 2.0, short floats."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def order(value: object) -> tuple[int, float, str]:
    """Sort key of settings: numbers by size, then text, then null."""
    text = label(value)
    real = number(value)
    if not math.isnan(real):
        return (0, real, "")
    return (2, 0.0, "") if text == "null" else (1, 0.0, text)
