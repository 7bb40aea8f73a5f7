"""Values from the shell."""

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer, shell_value
from lit_transformer.config.load import load_layers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        (" 4 ", 4),
        ("1e-3", 1e-3),
        ("true", True),
        ("null", None),
        ("", None),
        ("no", "no"),
        ("12:30", "12:30"),
        ("'4'", "4"),
        ('"{text}\\n"', "{text}\n"),
        ("[1, two]", [1, "two"]),
        ("{d_ff: null, num_heads: 2}", {"d_ff": None, "num_heads": 2}),
        ("translate English to German: ", "translate English to German: "),
        ("question: {source}", "question: {source}"),
        ("{text} It was", "{text} It was"),
        ("{text}", "{text}"),
        ("{answers.text.0}: {q}", "{answers.text.0}: {q}"),
        ("C# and F#", "C# and F#"),
        ("- 1", "- 1"),
    ],
)
def test_a_value_is_a_scalar_or_text_as_it_stands(text, value):
    assert shell_value(text, "command line, key") == value
    assert shell_layer([f"key={text}"]).values == {"key": value}


def test_text_of_a_prefix_and_a_template_reaches_its_setting():
    given = ["data.prefix=translate English to German: ", "objective.template={text} It was"]
    config = load_layers([shell_layer(["task=translation", "model.kind=t5", *given])]).config
    assert config.data.prefix == "translate English to German: " and config.objective.template == "{text} It was"


@pytest.mark.parametrize("text", ["[1, 2", "{a: 1", "'open"])
def test_an_open_bracket_or_quote_is_told(text):
    with pytest.raises(UserError, match="command line, key:1 is not YAML"):
        shell_value(text, "command line, key")
