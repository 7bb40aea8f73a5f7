"""Showing a configuration: plain dicts for files, rows for people."""

import dataclasses
from dataclasses import dataclass

from lit_transformer.config.fields import fields_of
from lit_transformer.config.load import Loaded, get_value
from lit_transformer.config.schema import ExperimentConfig


@dataclass(frozen=True)
class Row:
    """One setting as `lit-transformer config` shows it."""

    key: str
    value: object
    type: str
    origin: str
    help: str


def to_plain(config: ExperimentConfig) -> dict[str, object]:
    """The configuration as nested dicts of plain values, in the schema's order."""
    return dataclasses.asdict(config)


def rows(loaded: Loaded) -> list[Row]:
    """Every setting with value, type, origin and help, in the schema's order."""
    fields = fields_of(loaded.config.model.kind).values()
    return [
        Row(item.key, get_value(loaded.config, item.key), item.type_name, loaded.origins[item.key], item.help)
        for item in fields
    ]


def shown(value: object) -> str:
    """A value as it is typed."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
