"""The texts of examples by column, as they are to be tokenized."""

from collections.abc import Sequence

from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.rows.examples import Example, Keys
from lit_transformer.data.rows.template import Template, prompt_and_answers

Columns = dict[str, list[str]]
"""Column -> text of each row."""


def text_columns(examples: Sequence[Example], keys: Keys, prefix: str) -> Columns:
    """The texts as they are, `prefix` before each source."""
    columns = {column: [example.texts[column] for example in examples] for column in keys.texts}
    if prefix and "source" in columns:
        columns["source"] = [prefix + text for text in columns["source"]]
    return columns


def prompt_columns(examples: Sequence[Example], keys: Keys, labels: Sequence[str], config: ExperimentConfig) -> Columns:
    """`prompt` by the template, and `choice1` ... : the names of the labels in each row, else the row's own choices.

    Raises UserError for a wrong template, and with file and line for a row that lacks a field that it names.
    """
    assert keys.label is not None
    template = Template(config.objective.template, "objective.template")
    choices = tuple(keys.texts)[1:] if config.task == "multiple_choice" else ()
    count = len(choices or labels)
    columns: Columns = {name: [] for name in ("prompt", *(f"choice{number}" for number in range(1, count + 1)))}
    for example in examples:
        prompt = template.fill(example.fields(keys.label.field), example.row.place)
        answers = [example.texts[choice] for choice in choices] or labels
        # a T5's answer goes to its decoder
        texts = prompt_and_answers(prompt, answers, joined=config.model.kind != "t5")
        for column, text in zip(columns.values(), (texts[0], *texts[1]), strict=True):
            column.append(text)
    return columns
