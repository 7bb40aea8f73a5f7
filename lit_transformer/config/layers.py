"""Layers of settings over the defaults: an experiment's file, a sweep's cell, the shell."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.config.yaml_lines import Located, parse_scalar, parse_yaml, read_yaml

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds experiments/ and sweeps/ beside the package."""
COMMAND_LINE = "command line"

_TEMPLATE = re.compile(r"\{[\w.]+\}")
"""A field in braces, nested ones with dots, which YAML would read as a mapping to nothing."""


@dataclass(frozen=True)
class Layer:
    """Values that one source sets, and where each came from."""

    values: Mapping[str, object] = field(default_factory=dict)
    """Dotted key -> plain value."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Dotted key -> file:line, or `command line`."""


def shell_layer(arguments: Sequence[str], origin: str = COMMAND_LINE) -> Layer:
    """The layer of `key=value` arguments; raises UserError for an argument without `=`."""
    values: dict[str, object] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key.strip():
            raise UserError(
                f"{argument!r} is not a setting.\n"
                "  got      an argument without key=value\n"
                "  allowed  key=value, such as model.num_heads=4\n"
                "  fix      see `lit-transformer config EXPERIMENT` for the keys"
            )
        values[key.strip()] = shell_value(text, f"command line, {key}")
    return Layer(values, dict.fromkeys(values, origin))


def shell_value(text: str, name: str) -> object:
    """A YAML scalar, or where quotes or brackets begin it any YAML value; other text is kept as it is, spaces too.

    So `translate English to German: ` is no mapping, `C#` has no comment, and `{text} It was` is a template. Raises
    UserError, in which `name` is the place.
    """
    stripped = text.strip()
    if not stripped:
        return None
    if stripped[0] not in "{['\"" or _TEMPLATE.match(stripped):
        value = parse_scalar(stripped)
        return text if isinstance(value, str) else value
    return parse_yaml(text, name).plain()


def mapping_layer(values: Mapping[str, object], origin: str) -> Layer:
    """The layer of a nested or dotted mapping, all from one origin."""
    flat = flatten(values)
    return Layer(flat, dict.fromkeys(flat, origin))


def file_layer(path: Path) -> Layer:
    """The layer of an experiment's YAML file; raises UserError where it is no mapping."""
    name = display_path(path)
    root = read_yaml(path, name)
    if not isinstance(root.value, dict):
        raise UserError(f"{name}:{root.line}: an experiment is a mapping of settings, such as `task: language_model`.")
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for key, node in _flatten(root, ""):
        if key in values:
            raise UserError(f"{name}:{node.line}: {key} stands twice (first at {origins[key]}); keep one of them.")
        values[key] = node.plain()
        origins[key] = f"{name}:{node.line}"
    return Layer(values, origins)


def find_experiment(experiment: str) -> Path:
    """The file of an experiment: a path, or a name in ./experiments, then in the project's. Raises UserError."""
    if experiment.endswith((".yaml", ".yml")) or "/" in experiment:
        path = Path(experiment)
        if path.is_file():
            return path
        what = "is a directory" if path.is_dir() else "does not exist"
        raise UserError(f"The experiment file {experiment} {what}.\n  fix      give a YAML file, or a name: {_names()}")
    for folder in experiment_folders():
        path = folder / f"{experiment}.yaml"
        if path.is_file():
            return path
    guess = did_you_mean(experiment, experiment_names())
    raise UserError(
        f"There is no experiment {experiment}.\n"
        f"  looked   {', '.join(map(display_path, experiment_folders()))}\n"
        f"  allowed  {_names()}" + (f"\n  fix      did you mean {guess}?" if guess else "")
    )


def experiment_folders() -> list[Path]:
    """Where names of experiments are looked up, in order."""
    here, project = Path.cwd() / "experiments", PROJECT / "experiments"
    return [here] if here == project else [here, project]


def experiment_names() -> list[str]:
    """The experiments that can be named."""
    return sorted({path.stem for folder in experiment_folders() for path in folder.glob("*.yaml")})


def display_path(path: Path) -> str:
    """A path as short as it can be read from here."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _names() -> str:
    return ", ".join(experiment_names()) or "(none found)"


def _flatten(node: Located, prefix: str) -> list[tuple[str, Located]]:
    if not isinstance(node.value, dict) or (prefix and not node.value):
        return [(prefix, node)]
    return [pair for key, item in node.value.items() for pair in _flatten(item, f"{prefix}.{key}" if prefix else key)]


def flatten(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested plain values as dotted key -> value."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{dotted}."))
        else:
            flat[dotted] = value
    return flat
