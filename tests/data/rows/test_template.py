"""Templates name fields and do nothing else; prompt and answer are cut before the space."""

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.data.rows.template import Template, prompt_and_answers

FIELDS = {"text": "a {film}", "t.en": "b", "1": "c"}


def test_fields_fill_the_template() -> None:
    assert Template("{text}|{t.en}{1} {{x}}\\n\n", "a.key").fill(FIELDS, "f:1") == "a {film}|bc {x}\n\n"
    assert Template("nothing", "a.key").fill(FIELDS, "f:1") == "nothing"


@pytest.mark.parametrize("template", ["{texts}", "{text.__class__}", "{text[0]}", "{2}"])
def test_an_unknown_field(template: str) -> None:
    with pytest.raises(UserError, match=r"a.key: f:1 has no field (.|\n)*allowed  \{text\}, \{t.en\}, \{1\}"):
        Template(template, "a.key").fill(FIELDS, "f:1")
    with pytest.raises(UserError, match=r"did you mean \{text\}\?"):
        Template("{texts}", "a.key").fill(FIELDS, "f:1")


@pytest.mark.parametrize("template", ["{", "text}", "{}", "{text:>9}", "{text!r}", "{text"])
def test_what_is_no_template(template: str) -> None:
    with pytest.raises(UserError, match=r"a.key: (.|\n)*allowed  "):
        Template(template, "a.key")


@pytest.mark.parametrize(
    ("prompt", "joined", "expected"),
    [
        ("It is", True, ("It is", [" bad", " good"])),
        ("It is ", True, ("It is", [" bad", " good"])),
        ("It is:\n", True, ("It is:\n", ["bad", "good"])),
        ("", True, ("", ["bad", "good"])),
        ("It is ", False, ("It is ", ["bad", "good"])),
    ],
)
def test_the_space_goes_with_the_answer(prompt: str, joined: bool, expected: tuple[str, list[str]]) -> None:
    assert prompt_and_answers(prompt, [" bad", "good "], joined=joined) == expected
