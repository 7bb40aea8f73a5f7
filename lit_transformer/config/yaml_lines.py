"""YAML whose values remember their lines, as YAML 1.2 reads it: `no`, 12:30 and 010 are text, 1e-3 is a number."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from lit_transformer.config.errors import UserError


@dataclass(frozen=True)
class Located:
    """A value and the line it stands on."""

    value: "None | bool | int | float | str | list[Located] | dict[str, Located]"
    line: int

    def plain(self) -> object:
        """The value without lines: scalars, lists and dicts."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


def parse_scalar(text: str) -> None | bool | int | float | str:
    """The value of an unquoted scalar."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text):
        return int(text.replace("_", ""))
    # A leading zero (010, a serial number or a path) is neither an integer nor a float.
    if _FLOAT.match(text) and not re.match(r"[-+]?0[0-9]", text):
        return float(text)
    return _SPECIAL.get(text.lower(), text)


def parse_yaml(text: str, name: str) -> Located:
    """Parse one YAML document; `name` stands for the file in errors. Raises UserError with the line."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UserError(f"{name}:{line} is not YAML: {error.problem or error.context}.") from None
    except yaml.YAMLError as error:
        raise UserError(f"{name} is not YAML: {error}.") from None
    return Located({}, 1) if node is None else _located(node, name)


def read_yaml(path: Path, name: str | None = None) -> Located:
    """Read a YAML file; raises UserError where it is missing, not UTF-8 or not YAML."""
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}.") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}.") from None
    return parse_yaml(text, name)


def _located(node: yaml.Node, name: str) -> Located:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return Located(node.value if node.style in ("'", '"', "|", ">") else parse_scalar(node.value), line)
    if isinstance(node, yaml.SequenceNode):
        return Located([_located(item, name) for item in node.value], line)
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{name}:{line}: neither a value, a list nor a mapping.")
    items: dict[str, Located] = {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise UserError(f"{name}:{key_line}: a key must be a word.")
        if key_node.value in items:
            raise UserError(f"{name}:{key_line}: {key_node.value} stands twice; keep one of them.")
        value = _located(value_node, name)
        # A scalar is reported at its own line; a mapping or list at the line of its key, where one looks for it.
        items[key_node.value] = Located(value.value, key_line)
    return Located(items, line)
