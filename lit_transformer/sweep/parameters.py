"""One parameter of a sweep file: a constant, a list of values, a range, or a mapping of further parameters."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lit_transformer.config.errors import Problem
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import Located
from lit_transformer.sweep.grid import int_uniform, q_uniform
from lit_transformer.sweep.names import identity

GRID = ("constant", "categorical", "int_uniform", "q_uniform")
"""Distributions that a grid can list."""
LATER = ("uniform", "log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values", "normal",
         "log_normal", "q_normal", "q_log_normal", "q_log_uniform", "q_log_uniform_values", "beta", "q_beta",
         "categorical_w_probabilities")  # fmt: skip
"""Distributions of W&B's grammar that no grid can list; they come with the random and bayes methods."""
KEYS: dict[str, tuple[str, ...]] = {
    "constant": ("value",),
    "categorical": ("values",),
    "int_uniform": ("min", "max"),
    "q_uniform": ("min", "max", "q"),
}
"""Distribution -> the keys it takes."""
MOST_VALUES = 100_000


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A setting and the values it takes in a sweep."""

    key: str
    values: tuple[object, ...]
    origin: str
    swept: bool
    """False for a constant, which is no axis of the grid and no part of a cell's name."""


class Misread(Exception):
    """A parameter that cannot be read; `problem` says why."""

    def __init__(self, *, key: str, origin: str, got: str, allowed: str, fix: str = "") -> None:
        self.problem = Problem(key=key, origin=origin, got=got, allowed=allowed, fix=fix)
        super().__init__(str(self.problem))


def read_parameters(node: Located, name: str, problems: list[Problem]) -> Iterator[Parameter]:
    """The parameters under `parameters:`, nested ones with dotted keys; what cannot be read goes to `problems`."""
    yield from _walk(node, "", name, problems)


def _walk(node: Located, prefix: str, name: str, problems: list[Problem]) -> Iterator[Parameter]:
    for key, item in node.value.items() if isinstance(node.value, dict) else ():
        dotted = f"{prefix}{key}"
        origin = f"{name}:{item.line}"
        if isinstance(item.value, dict) and isinstance(_get(item, "parameters"), dict):
            problems.extend(_beside_nested(item, dotted, name))
            yield from _walk(item.value["parameters"], f"{dotted}.", name, problems)
            continue
        try:
            yield _read(dotted, item, origin)
        except Misread as error:
            problems.append(error.problem)


def _get(item: Located, key: str) -> object:
    inner = item.value.get(key) if isinstance(item.value, dict) else None
    return inner.value if inner is not None else None


def _beside_nested(item: Located, dotted: str, name: str) -> Iterator[Problem]:
    for key, other in item.value.items() if isinstance(item.value, dict) else ():
        if key != "parameters":
            origin = f"{name}:{other.line}"
            yield Problem(
                key=f"{dotted}.{key}", origin=origin, got=f"{key} beside parameters", allowed="parameters alone"
            )


def _read(key: str, item: Located, origin: str) -> Parameter:
    shape = "value: X, values: [X, Y], or distribution: int_uniform with min and max"
    if not isinstance(item.value, dict):
        given = item.plain()
        fix = f"write {key}: {{values: {given}}}" if isinstance(given, list) else f"write {key}: {{value: {given}}}"
        raise Misread(key=key, origin=origin, got=_shown(given), allowed=shape, fix=fix)
    distribution = _distribution(key, item, origin)
    allowed = KEYS[distribution]
    for word in item.value:
        if word not in (*allowed, "distribution"):
            guess = did_you_mean(word, ["value", "values", "min", "max", "q", "distribution", "parameters"])
            fix = f"did you mean {guess}?" if guess else f"nested settings stand under {key}: parameters:"
            got = f"an unknown key {word} for {distribution}"
            raise Misread(key=f"{key}.{word}", origin=origin, got=got, allowed=", ".join(allowed), fix=fix)
    required = [word for word in allowed if word != "q" and word not in item.value]
    if required:
        got = f"{distribution} without {' and '.join(required)}"
        raise Misread(key=key, origin=origin, got=got, allowed=", ".join(allowed))
    values = _values(key, distribution, item, origin)
    return Parameter(key=key, values=tuple(values), origin=origin, swept=distribution != "constant")


def _distribution(key: str, item: Located, origin: str) -> str:
    """The distribution that is named, or follows from the keys as in W&B. Raises Misread."""
    assert isinstance(item.value, dict)
    given = _get(item, "distribution")
    if given is None:
        given = _inferred(item)
    if given in GRID:
        return str(given)
    allowed = ", ".join(GRID)
    if given in LATER:
        fix = "list the values: values: [..., ...]; random and bayes sweeps are not there yet"
        raise Misread(key=key, origin=origin, got=f"{given} in a grid", allowed=allowed, fix=fix)
    if given is not None:
        guess = did_you_mean(str(given), [*GRID, *LATER])
        fix = f"did you mean {guess}?" if guess else ""
        raise Misread(key=f"{key}.distribution", origin=origin, got=_shown(given), allowed=allowed, fix=fix)
    known = ["value", "values", "min", "max", "q", "distribution", "parameters"]
    guesses = [(word, did_you_mean(word, known)) for word in item.value]
    fix = next((f"{word}: did you mean {guess}?" for word, guess in guesses if guess), "")
    got = f"neither value nor values, but {', '.join(item.value) or 'nothing'}"
    raise Misread(key=key, origin=origin, got=got, allowed="value, values, min and max, or parameters", fix=fix)


def _inferred(item: Located) -> str | None:
    assert isinstance(item.value, dict)
    keys = item.value.keys()
    if "probabilities" in keys:
        return "categorical_w_probabilities"
    if "values" in keys:
        return "categorical"
    if "value" in keys:
        return "constant"
    if "min" in keys or "max" in keys:
        whole = all(isinstance(item.value[word].value, int) for word in ("min", "max") if word in keys)
        return "int_uniform" if whole else "uniform"
    return None


def _values(key: str, distribution: str, item: Located, origin: str) -> list[object]:
    if distribution == "constant":
        return [_plain(item, "value")]
    if distribution == "categorical":
        return _listed(key, item, origin)
    low, high = _number(key, item, "min", origin), _number(key, item, "max", origin)
    step = _number(key, item, "q", origin) if _has(item, "q") else 1
    if step <= 0:
        raise Misread(key=f"{key}.q", origin=origin, got=_shown(step), allowed="a number above 0")
    if distribution == "int_uniform" and not (isinstance(low, int) and isinstance(high, int)):
        raise Misread(key=key, origin=origin, got=f"min {low}, max {high}", allowed="integers for int_uniform")
    if low > high or (distribution == "q_uniform" and low == high):
        fix = "swap them" if low > high else "max itself is left out of a q_uniform grid, as in W&B"
        raise Misread(key=key, origin=origin, got=f"min {low}, max {high}", allowed="min below max", fix=fix)
    if (high - low) / step > MOST_VALUES:
        raise Misread(key=key, origin=origin, got=f"min {low}, max {high}", allowed=f"at most {MOST_VALUES} values")
    return list(int_uniform(int(low), int(high)) if distribution == "int_uniform" else q_uniform(low, high, step))


def _listed(key: str, item: Located, origin: str) -> list[object]:
    values = _plain(item, "values")
    if not isinstance(values, list):
        fix = f"write values: [{values}]"
        raise Misread(key=f"{key}.values", origin=origin, got=_shown(values), allowed="a list", fix=fix)
    if not values:
        fix = "name at least one value, or remove the parameter"
        raise Misread(key=f"{key}.values", origin=origin, got="an empty list", allowed="one value or more", fix=fix)
    seen: dict[str, object] = {}
    for value in values:
        if identity(value) in seen:
            got = f"{_shown(value)} twice" if seen[identity(value)] == value else f"{seen[identity(value)]} and {value}"
            fix = "remove one; for replicates sweep seed (--seeds K)"
            raise Misread(key=f"{key}.values", origin=origin, got=got, allowed="different values", fix=fix)
        seen[identity(value)] = value
    return values


def _has(item: Located, word: str) -> bool:
    return isinstance(item.value, dict) and word in item.value


def _plain(item: Located, word: str) -> object:
    assert isinstance(item.value, dict)
    return item.value[word].plain()


def _number(key: str, item: Located, word: str, origin: str) -> int | float:
    value = _plain(item, word)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Misread(key=f"{key}.{word}", origin=origin, got=_shown(value), allowed="a number")
    return value


def _shown(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
