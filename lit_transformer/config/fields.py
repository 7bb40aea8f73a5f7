"""The settings as a flat table: dotted key, type, default and help, read off the schema."""

import ast
import dataclasses
import inspect
import types
from dataclasses import dataclass
from functools import cache
from typing import Literal, Union, get_args, get_origin, get_type_hints

from lit_transformer.config import models, schema


@dataclass(frozen=True)
class Field:
    """One setting."""

    key: str
    annotation: object
    default: object
    help: str

    @property
    def type_name(self) -> str:
        """The type in plain words, such as `integer or null`."""
        return type_name(self.annotation)


_WORDS: dict[object, str] = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "null"}


def type_name(annotation: object) -> str:
    """An annotation in plain words."""
    if get_origin(annotation) is Literal:
        return ", ".join(str(choice) for choice in get_args(annotation))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(type_name(part) for part in get_args(annotation))
    return _WORDS.get(annotation, str(annotation))


@cache
def fields_of(model_kind: str) -> dict[str, Field]:
    """Every setting of an experiment with this kind of model, by dotted key, in the schema's order."""
    return {item.key: item for item in _walk(schema.ExperimentConfig, "", schema.MODEL_CONFIGS[model_kind])}


@cache
def sections() -> frozenset[str]:
    """Dotted keys that hold settings and are none themselves, such as `trainer.early_stopping`."""
    keys = {key for kind in schema.MODEL_CONFIGS for key in fields_of(kind)}
    return frozenset(key[:end] for key in keys for end, letter in enumerate(key) if letter == ".")


def _walk(owner: type, prefix: str, model_class: type) -> list[Field]:
    found = []
    hints = get_type_hints(owner)
    for item in dataclasses.fields(owner):
        key = f"{prefix}{item.name}"
        annotation = model_class if key == "model" else hints[item.name]
        if dataclasses.is_dataclass(annotation):
            found += _walk(annotation, f"{key}.", model_class)
        else:
            found.append(Field(key, annotation, item.default, _help(owner, item.name)))
    return found


def _help(owner: type, name: str) -> str:
    if name == "kind":
        return "The network: a name in the registry of models."
    for base in owner.__mro__:
        text = _helps().get((base.__name__, name))
        if text:
            return text
    raise LookupError(
        f"{owner.__name__}.{name} has no help: write a docstring under it, in config/schema.py or config/models.py"
    )


@cache
def _helps() -> dict[tuple[str, str], str]:
    """(class, field) -> the string that stands under the field, which Python itself forgets."""
    found = {}
    for node in (node for module in (models, schema) for node in ast.parse(inspect.getsource(module)).body):
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, after in zip(node.body, node.body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and is_text:
                found[node.name, statement.target.id] = str(after.value.value)  # type: ignore[attr-defined]
    return found
