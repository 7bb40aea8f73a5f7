"""Splits documents into train, val and test, no document in two of them."""

import hashlib
from dataclasses import dataclass

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig

SPLITS = ("train", "val", "test")
"""Names of the splits, in the order of a single text."""


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Texts of every split."""

    train: list[str]
    val: list[str]
    test: list[str]

    @property
    def several(self) -> bool:
        """Some split has several documents, so that each ends with an end-of-text token."""
        return any(len(documents) > 1 for documents in (self.train, self.val, self.test))

    def items(self) -> list[tuple[str, list[str]]]:
        """Name and documents of each split."""
        return [("train", self.train), ("val", self.val), ("test", self.test)]


def split_documents(train: list[str], val: list[str] | None, test: list[str] | None, data: DataConfig) -> Splits:
    """Splits of the documents: duplicates and blank ones dropped, `val` and `test` taken from `train` where None.

    Several documents go whole to one split, by their hash, close to the fractions in bytes; a single text is cut by
    characters into train, val and test. Raises UserError where train or val would be empty, or test against the
    settings.
    """
    val_fraction = data.val_fraction if val is None else 0.0
    test_fraction = data.test_fraction if test is None else 0.0
    _check_fractions(data, val_fraction + test_fraction)
    held = _unique(test or [], set())
    chosen = _unique(val or [], set(held))
    documents = _unique(train, {*held, *chosen})
    _check_train(train, documents)
    if len(documents) == 1:
        parts = _cut(next(iter(documents.values())), val_fraction, test_fraction)
    else:
        parts = _deal(documents, val_fraction, test_fraction)
    _check_held_out(parts, documents, val_fraction, test_fraction)
    splits = Splits(
        train=parts[0],
        val=parts[1] if val is None else list(chosen.values()),
        test=parts[2] if test is None else list(held.values()),
    )
    if not splits.val:
        raise UserError(
            f"the validation split is empty (data.val_fraction={data.val_fraction}, data.val_path={data.val_path})\n"
            "  fix      set data.val_fraction above 0, or data.val_path to text that is not also in the test split"
        )
    return splits


def _unique(documents: list[str], taken: set[bytes]) -> dict[bytes, str]:
    """Documents by their hash, in order, without blank ones, repeated ones and those already taken."""
    unique: dict[bytes, str] = {}
    for text in documents:
        if text and not text.isspace():
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            if digest not in taken:
                unique.setdefault(digest, text)
    return unique


def _cut(text: str, val_fraction: float, test_fraction: float) -> list[list[str]]:
    """A single text: the first characters train, the last ones test."""
    start = int(len(text) * (1 - val_fraction - test_fraction))
    stop = int(len(text) * (1 - test_fraction)) if test_fraction else len(text)
    parts = [text[:start], text[start:stop], text[stop:]]
    return [[part] if part else [] for part in parts]


def _deal(documents: dict[bytes, str], val_fraction: float, test_fraction: float) -> list[list[str]]:
    """Whole documents: those with the first hashes fill val, the next ones test, the rest trains in its order."""
    sizes = {digest: len(text.encode()) for digest, text in documents.items()}
    total = sum(sizes.values())
    free = dict(sorted(sizes.items()))
    held = [_fill(free, fraction * total) for fraction in (val_fraction, test_fraction)]
    train = [text for digest, text in documents.items() if digest in free]
    return [train, *([text for digest, text in documents.items() if digest in chosen] for chosen in held)]


def _fill(free: dict[bytes, int], target: float) -> set[bytes]:
    """Takes documents out of `free`, in order, while they fit into `target` bytes; then the one that helps most."""
    chosen: set[bytes] = set()
    left = target
    for digest, size in free.items():
        if size <= left:
            chosen.add(digest)
            left -= size
    for digest in chosen:
        del free[digest]
    best = min(free, key=lambda digest: abs(free[digest] - left), default=None)
    if best is not None and left > 0 and len(free) > 1 and abs(free[best] - left) <= left:
        chosen.add(best)
        del free[best]
    return chosen


def _check_fractions(data: DataConfig, held_out: float) -> None:
    if data.val_fraction < 0 or data.test_fraction < 0 or held_out >= 1:
        raise UserError(
            f"data.val_fraction={data.val_fraction}, data.test_fraction={data.test_fraction}: "
            "allowed are shares of at least 0 that leave something to train on"
        )


def _check_train(given: list[str], documents: dict[bytes, str]) -> None:
    if documents:
        return
    if any(text and not text.isspace() for text in given):
        raise UserError(
            "every text to train on is also in data.val_path or data.test_path: nothing is left to train on"
        )
    raise UserError(
        f"the corpus is empty: {len(given)} documents, all blank\n  fix      check data.path and data.max_bytes"
    )


def _check_held_out(
    parts: list[list[str]], documents: dict[bytes, str], val_fraction: float, test_fraction: float
) -> None:
    """Every share above 0 got something."""
    sizes = sorted(len(text.encode()) for text in documents.values())
    for name, part, fraction in zip(
        SPLITS, parts, (1 - val_fraction - test_fraction, val_fraction, test_fraction), strict=True
    ):
        if part or not fraction:
            continue
        what = f"{len(sizes)} documents" if len(sizes) > 1 else "a single text"
        share = f"; the smallest document is {sizes[0] / sum(sizes):.1%} of them" if len(sizes) > 1 else ""
        other = "" if name != "test" else ", or 0 for no test split"
        key = "val" if name == "train" else name
        raise UserError(
            f"the {name} split is empty: {fraction:g} of {sum(sizes)} bytes in {what}{share}\n"
            f"  fix      {'lower' if name == 'train' else 'raise'} data.{key}_fraction{other}, or set data.{key}_path"
        )
