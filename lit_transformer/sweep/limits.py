"""What the distributions' keys may hold: types, bounds, no value twice."""

import math
from collections.abc import Mapping, Sequence

from lit_transformer.sweep.names import identity
from lit_transformer.sweep.reading import shown

LARGEST_EXPONENT = 700.0
"""Of e; a little above, a float is infinite."""
POSITIVE = ("q", "sigma", "a", "b")
"""Keys whose value is above 0: at 0 there is no such distribution, or nothing to draw."""


class Misread(Exception):
    """A parameter that cannot be read: the parts of a Problem but for its place."""

    def __init__(self, key: str, got: str, allowed: str, fix: str = "") -> None:
        self.key, self.got, self.allowed, self.fix = key, got, allowed, fix
        super().__init__(key, got, allowed, fix)


def arguments(key: str, name: str, given: Mapping[str, object]) -> dict[str, object]:
    """The checked arguments of the distribution `name`; raises Misread."""
    if "value" in given:
        return dict(given)
    if "values" in given:
        values = _values(key, given["values"])
        if "probabilities" not in given:
            return {"values": values}
        return {"values": values, "probabilities": _probabilities(key, given["probabilities"], len(values))}
    numbers = {word: _number(f"{key}.{word}", value) for word, value in given.items()}
    for word in POSITIVE:
        if word in numbers and numbers[word] <= 0:
            fix = f"write {key}: {{value: {numbers.get('mu', 0)}}}" if word == "sigma" else ""
            raise Misread(f"{key}.{word}", shown(numbers[word]), "a number above 0", fix)
    if "min" in numbers and "max" in numbers:
        _check_bounds(key, name, numbers["min"], numbers["max"])
    return dict(numbers)


def _check_bounds(key: str, name: str, low: float, high: float) -> None:
    got = f"min {low}, max {high}"
    if name == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
        raise Misread(key, got, "integers for int_uniform", "write distribution: uniform")
    if low >= high:
        fix = "swap them" if low > high else f"write {key}: {{value: {low}}}"
        raise Misread(key, got, "min below max", fix)
    if name.endswith("_values") and low <= 0:
        raise Misread(f"{key}.min", shown(low), f"a number above 0 for {name}", "write distribution: uniform")
    if name.endswith("log_uniform") and max(abs(low), abs(high)) > LARGEST_EXPONENT:
        fix = f"did you mean {name}_values, which takes the values themselves?"
        raise Misread(key, got, f"exponents of e for {name}, between -700 and 700", fix if low > 0 else "")


def _number(key: str, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Misread(key, shown(value), "a number")
    return value


def _values(key: str, values: object) -> list[object]:
    if not isinstance(values, list):
        raise Misread(f"{key}.values", shown(values), "a list", f"write values: [{values}]")
    if not values:
        fix = "name at least one value, or remove the parameter"
        raise Misread(f"{key}.values", "an empty list", "one value or more", fix)
    seen: dict[str, object] = {}
    for value in values:
        same = identity(value)
        if same in seen:
            got = f"{shown(value)} twice" if repr(seen[same]) == repr(value) else f"{seen[same]} and {value}"
            fix = "remove one; for replicates sweep seed (--seeds K), for odds give probabilities"
            raise Misread(f"{key}.values", got, "different values", fix)
        seen[same] = value
    return values


def _probabilities(key: str, given: object, count: int) -> Sequence[float]:
    key = f"{key}.probabilities"
    if not isinstance(given, list) or len(given) != count:
        got = f"{len(given)} of them" if isinstance(given, list) else shown(given)
        raise Misread(key, got, f"a list of {count}, one for each of the values")
    numbers = [_number(key, value) for value in given]
    if min(numbers) < 0:
        raise Misread(key, shown(min(numbers)), "numbers that are not negative")
    total = math.fsum(numbers)
    if not math.isclose(total, 1, rel_tol=1e-5, abs_tol=1e-8):
        parts = ", ".join(f"{number / total:.4g}" for number in numbers) if total > 0 else ""
        fix = f"write probabilities: [{parts}]" if parts else ""
        raise Misread(key, f"numbers that add up to {total:g}", "numbers that add up to 1", fix)
    return numbers
