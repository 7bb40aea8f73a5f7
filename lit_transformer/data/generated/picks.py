"""Choices without a random state: they follow from a name and numbers, for any version of Python or numpy."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

Fields = dict[str, str]
"""Texts of a row by name."""

SIZES = {"train": 6000, "val": 500, "test": 500}
"""Rows of each split of a data set that is drawn."""

Option = TypeVar("Option")


class Picks:
    """Draws one after another out of a 256-bit hash."""

    def __init__(self, *seed: str | int) -> None:
        raw = "/".join(map(str, seed)).encode()
        self._left = int.from_bytes(hashlib.blake2b(raw, digest_size=32).digest(), "little")

    def one(self, options: Sequence[Option]) -> Option:
        """One of the options, all equally likely."""
        self._left, index = divmod(self._left, len(options))
        return options[index]

    def some(self, options: Sequence[Option], count: int) -> list[Option]:
        """`count` different ones, in the order drawn."""
        left = list(options)
        return [left.pop(self.one(range(len(left)))) for _ in range(count)]


def draw_rows(name: str, make: Callable[[int, Picks], Fields], key: str) -> dict[str, list[Fields]]:
    """Rows of each split; `make` is given a row's number and its picks, and drawn again where the key's text was met.

    No text of `key` is in two rows, so none is in two splits.
    """
    seen: set[str] = set()
    rows: list[Fields] = []
    while len(rows) < sum(SIZES.values()):
        attempt = 0
        while (row := make(len(rows), Picks(name, len(rows), attempt)))[key] in seen:
            attempt += 1
        seen.add(row[key])
        rows.append(row)
    splits, start = {}, 0
    for split, size in SIZES.items():
        splits[split] = rows[start : start + size]
        start += size
    return splits
