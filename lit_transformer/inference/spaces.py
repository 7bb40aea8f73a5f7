"""Spaces between a text and the tokens after it, which every kind of tokenizer treats in a way of its own.

Tokens of BPE and SentencePiece bring the space before a word, for characters and bytes it is a token, and words and
WordPiece drop it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tokenizers import Tokenizer, models

BPE, SENTENCE_PIECE = "Ġ", "▁"
"""How they spell the space before a word."""

INSIDE = "##"
"""How WordPiece begins a token that goes on with a word."""


@dataclass(frozen=True)
class Spaces:
    """A tokenizer's way with spaces."""

    tokenizer: Tokenizer

    @cached_property
    def brought(self) -> bool:
        """Whether a token may be a word with the space before it."""
        return any(len(token) > 1 and token[0] in (BPE, SENTENCE_PIECE) for token in self.tokenizer.get_vocab())

    @cached_property
    def dropped(self) -> bool:
        """Whether a space is no token, nor a part of one."""
        return not self.tokenizer.encode(" ", add_special_tokens=False).ids

    def before_blank(self, text: str) -> str:
        """What of the text before a blank is to be encoded: the space goes with what fills it, if tokens bring it."""
        return text.removesuffix(" ") if self.brought else text

    def filled(self, text: str, ids: Sequence[int]) -> str:
        """The text, as it was written before a blank, and the tokens that fill the blank."""
        found = self._decode(ids)
        if self.brought:
            head = text.removesuffix(" ")
            first = (self.tokenizer.id_to_token(ids[0]) or "") if ids else ""
            space = " " if first.startswith(SENTENCE_PIECE) else ""  # which its decoder takes from the first word
            return head + space + found if head else found.lstrip(" ")
        return text.rstrip(" ") + found.removeprefix(INSIDE) if self._inside(found) else text + found

    def continued(self, text: str, ids: Sequence[int]) -> str:
        """The text and the tokens that go on with it, with a space between where tokens have none."""
        found = self._decode(ids)
        if self._inside(found):
            return text + found.removeprefix(INSIDE)
        space = " " if self.dropped and text and found and not text[-1].isspace() else ""
        return text + space + found

    def alone(self, ids: Sequence[int]) -> str:
        """What the tokens say without a text around them."""
        found = self._decode(ids)
        found = found.strip() or found
        return found.removeprefix(INSIDE) if self._inside(found) else found

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _inside(self, found: str) -> bool:
        return found.startswith(INSIDE) and isinstance(self.tokenizer.model, models.WordPiece)
