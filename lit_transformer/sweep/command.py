"""The command of a cell as W&B's agent makes it: the 12 macros and what they stand for."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from lit_transformer.sweep.parameters import Parameter
from lit_transformer.sweep.sections import ENVIRONMENT_VARIABLE

DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
"""The command of a sweep that names a program alone."""


def run_config(parameters: Iterable[Parameter], values: Mapping[str, object]) -> dict[str, object]:
    """What a run of this point finds in `wandb.config`: nested as the file nests it, in W&B's order.

    `values` are those of the swept parameters, by dotted key.
    """
    config: dict[str, object] = {}
    for item in sorted(parameters, key=lambda item: item.place):
        *outer, last = item.place
        level = config
        for name in outer:
            inner = level.setdefault(name, {})
            assert isinstance(inner, dict)  # parameters: under a name excludes a value of its own
            level = inner
        level[last] = values[item.key] if item.swept else item.distribution.ppf(0.5)
    return config


def expand(
    command: Sequence[str],
    config: Mapping[str, object],
    *,
    program: str | None,
    json_file: Path,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """The words that start a run with this configuration; `json_file` is what `${args_json_file}` stands for.

    As W&B's agent does it: an environment variable that is not set becomes its own name, a macro is a whole word, and
    nested values are written as Python writes them; `${args_json}` and `${args_json_file}` alone lose nothing.
    """
    macros = macros_of(config, program=program, json_file=json_file)
    words: list[str] = []
    for given in command:
        word = ENVIRONMENT_VARIABLE.sub(lambda found: environment.get(found[1], found[1]), given)
        words += macros.get(word[2:-1], []) if word.startswith("${") and word.endswith("}") else [word]
    return words


def macros_of(config: Mapping[str, object], *, program: str | None, json_file: Path) -> dict[str, list[str]]:
    """Macro -> the words that it stands for."""
    pairs = [(key, f"{key}={value}", value) for key, value in config.items()]
    return {
        "env": ["/usr/bin/env"],
        "interpreter": ["python"],
        "program": [program] if program is not None else [],
        "args": [f"--{pair}" for _, pair, _ in pairs],
        "args_no_hyphens": [pair for _, pair, _ in pairs],
        "args_no_equals": [word for key, _, value in pairs for word in (f"--{key}", str(value))],
        "args_no_boolean_flags": [
            f"--{key}" if value is True else f"--{pair}" for key, pair, value in pairs if value is not False
        ],
        "args_append_hydra": [f"+{pair}" for _, pair, _ in pairs],
        "args_override_hydra": [f"++{pair}" for _, pair, _ in pairs],
        "args_json": [json.dumps(config)],
        "args_json_file": [str(json_file)],
    }


def parameter_file(config: Mapping[str, object]) -> str:
    """The YAML that WANDB_SWEEP_PARAM_PATH names."""
    values = {key: {"value": value} for key, value in config.items()}
    return "wandb_version: 1\n\n" + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
