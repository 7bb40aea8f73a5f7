"""Prompts: rows as text, by a template."""

from collections.abc import Mapping, Sequence
from string import Formatter

from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean


class Template:
    r"""Text with {names} of a row's fields, dots and all; {{ is a brace, \n a line end.

    `setting` is where it stands, for messages. Raises UserError for a brace without its partner, and for what Python's
    formats can do beyond names.
    """

    def __init__(self, text: str, setting: str) -> None:
        self._text, self._setting = text, setting
        try:
            parts = list(Formatter().parse(text.replace("\\n", "\n")))
        except ValueError as error:
            raise UserError(
                f"{setting}: {error}\n  got      {text!r}\n  allowed  {{name}}, and {{{{ for a brace"
            ) from error
        for _, name, form, conversion in parts:
            if name == "" or form or conversion:
                raise UserError(
                    f"{setting}: got {text!r}\n  allowed  names of fields in braces, without : ! and the like"
                )
        self._parts = [(literal, name) for literal, name, _, _ in parts]
        self.names = tuple(name for _, name in self._parts if name is not None)
        """Fields that it names, in order."""

    def fill(self, fields: Mapping[str, str], place: str) -> str:
        """The text with a row's fields; raises UserError with the row's place for a field that it does not have."""
        parts = [
            literal if name is None else literal + self._field(fields, name, place) for literal, name in self._parts
        ]
        return "".join(parts)

    def _field(self, fields: Mapping[str, str], name: str, place: str) -> str:
        if name in fields:
            return fields[name]
        near = did_you_mean(name, fields)
        raise UserError(
            f"{self._setting}: {place} has no field {name!r}\n  got      {self._text!r}\n"
            f"  allowed  {', '.join(f'{{{known}}}' for known in list(fields)[:20])}"
            + (f"\n  fix      did you mean {{{near}}}?" if near else "")
        )


def prompt_and_answers(prompt: str, answers: Sequence[str], *, joined: bool) -> tuple[str, list[str]]:
    """The prompt, and each answer as it follows it: with the space between them, if there is one, at its front.

    A tokenizer takes the space before a word for a part of it, so the cut between prompt and answer, which are
    tokenized apart, must come before the space. There is none after the end of a line, nor where the answer goes to
    a decoder of its own (`joined` False).
    """
    answers = [answer.strip() for answer in answers]
    if not joined:
        return prompt, answers
    head = prompt.rstrip(" ")
    space = "" if not head or head[-1].isspace() else " "
    return head, [space + answer for answer in answers]
