"""Ids of a tokenizer's special tokens."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lit_transformer.config.errors import UserError
from lit_transformer.data import special_names as names

NAMES: dict[str, str] = {
    "pad": names.PAD,
    "unk": names.UNKNOWN,
    "eot": names.END,
    "cls": names.CLS,
    "sep": names.SEP,
    "mask": names.MASK,
    "sop": names.BLANK_START,
    "eop": names.BLANK_END,
    "end": names.SEQUENCE_END,
    "start": names.START,
    "delimiter": names.DELIMITER,
    "extract": names.EXTRACT,
}
"""Field of Specials -> the token's name."""


@dataclass(frozen=True, kw_only=True)
class Specials:
    """Ids of the special tokens that a tokenizer has, None for those it lacks."""

    pad: int | None = None
    unk: int | None = None
    eot: int | None = None
    cls: int | None = None
    sep: int | None = None
    mask: int | None = None
    sop: int | None = None
    eop: int | None = None
    end: int | None = None
    start: int | None = None
    delimiter: int | None = None
    extract: int | None = None
    sentinels: tuple[int, ...] = ()
    """Ids of <extra_id_0> and so on, as many as follow one another without a gap."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Every id there is."""
        found = (getattr(self, field.name) for field in fields(self) if field.name != "sentinels")
        return (*(index for index in found if index is not None), *self.sentinels)

    def flags(self, vocab_size: int) -> NDArray[np.bool_]:
        """Which ids stand for no text: (vocab_size,)."""
        special = np.zeros(vocab_size, dtype=np.bool_)
        special[list(self.ids)] = True
        return special

    def required(self, *wanted: str, by: str) -> tuple[int, ...]:
        """Ids of these fields, in order; raises UserError with the names of all that are missing."""
        missing = [NAMES[field] for field in wanted if getattr(self, field) is None]
        if missing:
            raise missing_specials(missing, by)
        return tuple(getattr(self, field) for field in wanted)


def missing_specials(missing: list[str], by: str) -> UserError:
    """The error of a tokenizer that lacks special tokens which `by` needs."""
    return UserError(
        f"{by}: the tokenizer has no {', '.join(missing)}\n"
        f"  got      a tokenizer made for another objective\n"
        f"  allowed  one with {', '.join(missing)}\n"
        "  fix      prepare the data for this objective: `fit` adds what a tokenizer of model.init_from lacks"
    )


def specials_of(tokenizer: Tokenizer) -> Specials:
    """Ids of the special tokens that a tokenizer has."""
    sentinels: list[int] = []
    for name in names.SENTINELS:
        index = tokenizer.token_to_id(name)
        if index is None:
            break
        sentinels.append(index)
    return Specials(**{field: find(tokenizer, name) for field, name in NAMES.items()}, sentinels=tuple(sentinels))


def find(tokenizer: Tokenizer, name: str) -> int | None:
    """Id of a special token, under the name that other people give it if need be; None where there is none."""
    found = (tokenizer.token_to_id(known) for known in (name, *names.ALIASES.get(name, ())))
    return next((index for index in found if index is not None), None)
