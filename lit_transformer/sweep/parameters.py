"""One parameter of a sweep file: its distribution, named or inferred as in W&B, or a mapping of more parameters."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import Located
from lit_transformer.sweep.distributions import (
    DISTRIBUTIONS,
    Categorical,
    CategoricalWithProbabilities,
    Constant,
    Distribution,
    IntUniform,
    InvLogUniform,
    LogUniform,
    QUniform,
)
from lit_transformer.sweep.grid import int_uniform, q_uniform
from lit_transformer.sweep.limits import Misread, arguments
from lit_transformer.sweep.reading import Reader, shown

GRID = ("constant", "categorical", "int_uniform", "q_uniform")
"""Distributions that a grid can list."""
WORDS = ["value", "values", "min", "max", "q", "mu", "sigma", "a", "b", "probabilities", "distribution", "parameters"]
"""Every key of a parameter."""
MOST_VALUES = 100_000
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A setting and the values it takes in a sweep."""

    key: str
    """Dotted."""
    distribution: Distribution
    values: tuple[object, ...]
    """What a grid lists; empty where that cannot be listed."""
    origin: str
    swept: bool
    """False for a constant, which is no axis of the grid and no part of a cell's name."""
    path: tuple[str, ...] = ()
    """The key as the file nests it: ("model", "num_heads") or ("model.num_heads",), which is what () stands for."""

    @property
    def place(self) -> tuple[str, ...]:
        """The path, never empty: W&B's order of parameters, and where its run configurations have the value."""
        return self.path or (self.key,)


def read_parameters(node: Located, reader: Reader, *, grid: bool) -> Iterator[Parameter]:
    """The parameters under `parameters:`; what cannot be read goes to the reader's problems.

    In a `grid` each must be one that can be listed.
    """
    yield from _walk(node, (), reader, grid)


def notes_of(parameters: Iterable[Parameter]) -> tuple[str, ...]:
    """Distributions that are often taken for others, with what they give."""
    names = {kind: name for name, kind in DISTRIBUTIONS.items()}
    notes = []
    for item in parameters:
        kind = item.distribution
        if isinstance(kind, LogUniform | InvLogUniform):
            name = names[type(kind)]
            low, high = sorted((kind.ppf(0), kind.ppf(1)))
            notes.append(
                f"{item.origin}: {item.key}: {name} takes exponents of e: its values go from {low:.3g} to {high:.3g}; "
                f"{name}_values takes the values themselves"
            )
    return tuple(notes)


def _walk(node: Located, path: tuple[str, ...], reader: Reader, grid: bool) -> Iterator[Parameter]:
    for key, item in node.value.items() if isinstance(node.value, dict) else ():
        here = (*path, key)
        dotted = ".".join(here)
        if not NAME.fullmatch(key):
            reader.wrong(dotted, item, "letters, digits and _ . -, a letter or _ first", got=repr(key))
        nested = item.value.get("parameters") if isinstance(item.value, dict) else None
        if nested is not None and isinstance(nested.value, dict):
            for word, other in item.value.items() if isinstance(item.value, dict) else ():
                if word != "parameters":
                    got = f"{word} beside parameters"
                    reader.wrong(f"{dotted}.{word}", other, "parameters alone", got=got)
            if not nested.value:
                reader.wrong(f"{dotted}.parameters", nested, "one parameter or more", got="an empty mapping")
            yield from _walk(nested, here, reader, grid)
            continue
        try:
            yield _read(dotted, here, item, reader, grid)
        except Misread as error:
            reader.wrong(error.key, item, error.allowed, got=error.got, fix=error.fix)


def _read(key: str, path: tuple[str, ...], item: Located, reader: Reader, grid: bool) -> Parameter:
    if not isinstance(item.value, dict):
        given = item.plain()
        fix = f"write {key}: {{values: {given}}}" if isinstance(given, list) else f"write {key}: {{value: {given}}}"
        shape = "value: X, values: [X, Y], min and max, or distribution: NAME with its keys"
        raise Misread(key, shown(given), shape, fix)
    name = _distribution(key, item)
    kind = DISTRIBUTIONS[name]
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]  # every one of them is a dataclass
    _check_words(key, name, item, [field.name for field in fields])
    if grid and name not in GRID:
        fix = "list the values: values: [..., ...], or write method: random and run_cap: 20"
        raise Misread(key, f"{name} in a grid", ", ".join(GRID), fix)
    required = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in item.value]
    if required:
        got, allowed = f"{name} without {' and '.join(required)}", ", ".join(field.name for field in fields)
        raise Misread(key, got, allowed, f"give {' and '.join(required)}")
    given = {field.name: item.value[field.name].plain() for field in fields if field.name in item.value}
    made = kind(**arguments(key, name, given))
    values = _listed(made)
    if values is None and grid:
        raise Misread(key, f"{name} with more", f"at most {MOST_VALUES} values in a grid", "a larger step, or random")
    return Parameter(
        key=key,
        path=path,
        distribution=made,
        values=values or (),
        origin=reader.at(item),
        swept=not isinstance(made, Constant),
    )


def _distribution(key: str, item: Located) -> str:
    """The distribution that is named, or follows from the keys and their types as in W&B. Raises Misread."""
    assert isinstance(item.value, dict)
    if "distribution" in item.value:
        given = item.value["distribution"].plain()
        if given in DISTRIBUTIONS:
            return str(given)
        guess = did_you_mean(str(given), DISTRIBUTIONS)
        fix = f"did you mean {guess}?" if guess else ""
        raise Misread(f"{key}.distribution", shown(given), ", ".join(DISTRIBUTIONS), fix)
    if "values" in item.value:
        return "categorical_w_probabilities" if "probabilities" in item.value else "categorical"
    if "value" in item.value:
        return "constant"
    if "min" in item.value or "max" in item.value:
        bounds = [item.value[word].value for word in ("min", "max") if word in item.value]
        return "int_uniform" if all(isinstance(bound, int) for bound in bounds) else "uniform"
    guesses = [(word, did_you_mean(word, WORDS)) for word in item.value]
    fix = next((f"{word}: did you mean {guess}?" for word, guess in guesses if guess and guess != word), "")
    if not fix and any(word in ("mu", "sigma", "a", "b") for word in item.value):
        fix = "write distribution: normal, log_normal or beta beside it"
    got = f"neither value nor values, but {', '.join(item.value) or 'nothing'}"
    raise Misread(key, got, "value, values, min and max, distribution, or parameters", fix)


def _check_words(key: str, name: str, item: Located, allowed: list[str]) -> None:
    assert isinstance(item.value, dict)
    for word in item.value:
        if word in (*allowed, "distribution"):
            continue
        related = (f"q_{name.removeprefix('int_')}", f"{name}_w_probabilities")
        takers = [other for other in related if other in DISTRIBUTIONS]
        guess = did_you_mean(word, WORDS)
        if word in WORDS and takers and word in ("q", "probabilities"):
            fix = f"write distribution: {takers[0]}"
        elif guess and guess != word:
            fix = f"did you mean {guess}?"
        else:
            fix = f"nested settings stand under {key}: parameters:"
        raise Misread(f"{key}.{word}", f"an unknown key {word} for {name}", ", ".join(allowed), fix)


def _listed(made: Distribution) -> tuple[object, ...] | None:
    """The values that a grid takes; empty where it takes none, None where they are too many to list."""
    if isinstance(made, Constant):
        return (made.value,)
    if isinstance(made, Categorical | CategoricalWithProbabilities):
        return tuple(made.values)
    if isinstance(made, IntUniform):
        return tuple(int_uniform(made.min, made.max)) if made.max - made.min < MOST_VALUES else None
    if isinstance(made, QUniform):
        return tuple(q_uniform(made.min, made.max, made.q)) if (made.max - made.min) / made.q < MOST_VALUES else None
    return ()
