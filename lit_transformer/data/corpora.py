"""Documents of every source, read only when they are needed, and a hash of them that is cheap."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.builtin import builtin_files, digest_builtin, read_builtin
from lit_transformer.data.files import digest_files, read_jsonl, read_text
from lit_transformer.data.hub import read_hub
from lit_transformer.data.locate import find_files

SOURCES = ("builtin", "text", "jsonl", "hub:NAME_OR_FOLDER")
"""Values of `data.source`."""


class Corpus(Protocol):
    """Documents from one place."""

    def digest(self) -> str:
        """Hash of everything that the documents depend on."""
        ...

    def documents(self) -> Iterator[str]:
        """The documents, in a fixed order."""
        ...


@dataclass(frozen=True)
class FileCorpus:
    """Documents in files: each text file is one, each row of a jsonl file is one."""

    paths: list[Path]
    text_key: str | None
    """Field of a jsonl row; None where the files are text."""
    max_bytes: int | None

    @property
    def _read_bytes(self) -> int | None:
        """Bytes of a text file to read: a character more than `max_bytes`, to tell a cut text from one that ends."""
        return None if self.max_bytes is None else self.max_bytes + 4

    def digest(self) -> str:
        prefix_is_enough = self.text_key is None and all(path.suffix != ".gz" for path in self.paths)
        return digest_files(self.paths, self._read_bytes if prefix_is_enough else None)

    def documents(self) -> Iterator[str]:
        for path in self.paths:
            if self.text_key is None:
                yield read_text(path, self._read_bytes)
            else:
                yield from read_jsonl(path, self.text_key)


@dataclass(frozen=True)
class BuiltinCorpus:
    """The standard library's prose."""

    paths: list[Path]

    def digest(self) -> str:
        return digest_builtin(self.paths)

    def documents(self) -> Iterator[str]:
        return read_builtin(self.paths)


@dataclass(frozen=True)
class ListCorpus:
    """Documents that are in memory."""

    texts: list[str]

    def digest(self) -> str:
        whole = hashlib.blake2b(digest_size=20)
        for text in self.texts:
            raw = text.encode()
            whole.update(len(raw).to_bytes(8, "little") + raw)
        return whole.hexdigest()

    def documents(self) -> Iterator[str]:
        return iter(self.texts)


def open_corpora(data: DataConfig) -> dict[str, Corpus]:
    """The corpus to train on and, where they come from a place of their own, those of `val` and `test`.

    Raises UserError for an unknown source, files that are not found, and settings that do not go together.
    """
    _check(data)
    if data.source == "builtin":
        return {"train": BuiltinCorpus(builtin_files())}
    if data.source.startswith("hub:"):
        texts = read_hub(data.source.removeprefix("hub:"), data.hub_config, data.text_key)
        return {role: ListCorpus(rows) for role, rows in texts.items()}
    text_key = data.text_key if data.source == "jsonl" else None
    paths = {"train": ("data.path", data.path), "val": ("data.val_path", data.val_path)}
    paths["test"] = ("data.test_path", data.test_path)
    return {
        role: FileCorpus(find_files(path, key), text_key, data.max_bytes) for role, (key, path) in paths.items() if path
    }


def take_bytes(documents: Iterable[str], max_bytes: int | None) -> Iterator[str]:
    """The first documents, up to `max_bytes` of UTF-8 in all; the last one is cut at a character."""
    left = max_bytes
    for text in documents:
        if left is None:
            yield text
            continue
        raw = text.encode()[:left]
        left -= len(raw)
        yield raw.decode(errors="ignore")
        if left <= 0:
            return


def _check(data: DataConfig) -> None:
    if data.source not in ("builtin", "text", "jsonl") and not re.match("hub:.", data.source):
        close = difflib.get_close_matches(data.source, ["builtin", "text", "jsonl", "hub:"], n=1, cutoff=0.4)
        hint = (
            f"did you mean {close[0]}?" if close else "set data.source=text and data.path=FILE for a text of your own"
        )
        raise UserError(f"data.source: got {data.source!r}\n  allowed  {', '.join(SOURCES)}\n  fix      {hint}")
    if data.source in ("text", "jsonl"):
        if not data.path:
            raise UserError(f"data.path: source {data.source} needs a file or glob\n  fix      set data.path")
        return
    for key in ("path", "val_path", "test_path"):
        if getattr(data, key):
            raise UserError(
                f"data.{key}: got {getattr(data, key)!r}, but data.source={data.source} reads no files\n"
                "  fix      set data.source=text (or jsonl), or leave the path out"
            )
