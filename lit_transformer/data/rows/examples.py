"""Examples: rows under the names that a task has for their texts and their label."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import NAMED_SOURCES, PAIR_TASKS
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.rows.composed import SETTING
from lit_transformer.data.rows.row import Row, RowSource, field


class Key(NamedTuple):
    """A field, and the setting that names it."""

    field: str
    setting: str


@dataclass(frozen=True)
class Keys:
    """Where a task's texts and label lie in the fields of a row."""

    texts: dict[str, Key]
    """Column -> its field."""
    label: Key | None


class Example(NamedTuple):
    """The texts of a row by column, its label as it was written, and the row itself."""

    texts: dict[str, str]
    label: str
    row: Row

    def fields(self, label_field: str | None) -> Mapping[str, str]:
        """What a template may name: the row's fields and the columns, not the label, which would give it away."""
        return {
            name: text for name, text in {**self.row.fields, **self.texts}.items() if name not in ("label", label_field)
        }


def find_keys(data: DataConfig, task: str) -> Keys:
    """The columns of a task and the fields that the settings name for them; raises UserError for a single choice."""
    named = data.source.partition(":")[0] in NAMED_SOURCES
    if task in PAIR_TASKS:
        template = data.source_template
        settings = {
            "source": Key(data.source_key, "data.source_key") if template is None else Key(template, SETTING),
            "target": Key(data.target_key, "data.target_key"),
        }
    elif task == "classification":
        settings = {"text": Key(data.text_key, "data.text_key")}
        if data.pair_key and named:
            settings["pair"] = Key(data.pair_key, "data.pair_key")
    else:
        names = [name.strip() for name in data.choice_keys.split(",")] if named else ["choice1", "choice2"]
        if len(names) < 2 or not all(names):
            raise UserError(
                f"data.choice_keys: got {data.choice_keys!r}\n  allowed  two names or more, separated by commas"
            )
        choices = {f"choice{index}": Key(name, "data.choice_keys") for index, name in enumerate(names, start=1)}
        settings = {"context": Key(data.context_key, "data.context_key"), **choices}
    texts = settings if named else {column: Key(column, key.setting) for column, key in settings.items()}
    label = Key(data.label_key if named else "label", "data.label_key")
    return Keys(texts, None if task in PAIR_TASKS else label)


def read_examples(source: RowSource, keys: Keys, data: DataConfig) -> tuple[list[Example], int]:
    """The examples of a source, up to `data.max_bytes` of text, and the number of rows dropped for an empty text.

    Raises UserError with file and line where a field or label is missing or, with `data.empty: refuse`, empty.
    """
    examples: list[Example] = []
    dropped, left = 0, data.max_bytes
    for row in source.rows():
        empty = _empty(row, keys)
        if empty and data.empty == "refuse":
            raise UserError(
                f"{row.place}: {empty}\n  allowed  texts that are not blank, with data.empty=refuse\n"
                "  fix      mend the row, or set data.empty=drop"
            )
        if empty:
            dropped += 1
            continue
        example = _example(row, keys)
        if left is not None:
            left -= sum(len(text.encode()) for text in example.texts.values())
            if left < 0:
                break
        examples.append(example)
    return examples, dropped


def _empty(row: Row, keys: Keys) -> str:
    """What is blank: the row, or one of its texts; an empty string where nothing is."""
    if not row.fields:
        return "an empty line"
    blank = (column for column, key in keys.texts.items() if not field(row, *key).strip())
    column = next(blank, None)
    return f"the {column} is empty" if column else ""


def _example(row: Row, keys: Keys) -> Example:
    label = field(row, *keys.label).strip() if keys.label else ""
    if keys.label and not label:
        raise UserError(f"{row.place}: the row has no label\n  got      nothing under {keys.label.field!r}")
    return Example({column: row.fields[key.field] for column, key in keys.texts.items()}, label, row)
