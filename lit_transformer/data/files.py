"""Reads documents out of text and jsonl files, plain or gzipped, and says exactly where one is broken."""

import codecs
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lit_transformer.config.errors import UserError


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading bytes, unpacking .gz; what the system refuses becomes a UserError naming the file."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(BinaryIO, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: broken .gz file ({error})\n  fix      fetch or compress the file again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_text(path: Path, max_bytes: int | None = None) -> str:
    """Text of a UTF-8 file, line ends untouched, without a byte order mark, cut at a character after `max_bytes`.

    Raises UserError with file and byte offset where it is not UTF-8.
    """
    with opened(path) as file:
        raw = file.read() if max_bytes is None else file.read(max_bytes)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(raw, final=max_bytes is None or len(raw) < max_bytes)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error.start, raw[error.start], error.reason) from error
    return text.removeprefix("\ufeff")


def read_jsonl(path: Path, text_key: str) -> Iterator[str]:
    """The string under `text_key` of each row; blank lines are skipped.

    Raises UserError with file and line for a row that is not a JSON object with a string there, and like
    `read_objects`.
    """
    for place, row in read_objects(path):
        yield _row_text(row, place, text_key)


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Place (file:line) and object of each row of a jsonl file; blank lines are skipped.

    Raises UserError with file and line for a row that is not a JSON object, and with the byte offset too where a line
    is not UTF-8.
    """
    offset = 0
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise _not_utf8(path, offset + error.start, line[error.start], error.reason, number) from error
            offset += len(line)
            if text.strip():
                yield f"{path}:{number}", _row_object(text, f"{path}:{number}")


def _row_object(line: str, place: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{place}: not JSON ({error})\n  got      {line.strip()[:80]}\n  allowed  one JSON object a line"
        ) from error
    if not isinstance(row, dict):
        raise UserError(f"{place}: a row must be a JSON object, got {type(row).__name__}")
    return row


def _row_text(row: dict[str, object], place: str, text_key: str) -> str:
    text = row.get(text_key)
    if not isinstance(text, str):
        keys = ", ".join(key for key, value in row.items() if isinstance(value, str)) or "none"
        found = f"a {type(row[text_key]).__name__}" if text_key in row else "nothing"
        raise UserError(
            f"{place}: no text under {text_key!r}\n  got      {found}\n"
            f"  allowed  a string; keys that hold one: {keys}\n  fix      set data.text_key"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:  # JSON can spell half of a surrogate pair, which no UTF-8 text can hold
        raise UserError(f"{place}: the text under {text_key!r} holds half a surrogate pair at {error.start}") from error
    return text


def _not_utf8(path: Path, offset: int, byte: int, reason: str, line: int | None = None) -> UserError:
    place = str(path) if line is None else f"{path}:{line}"
    return UserError(
        f"{place}: not UTF-8 at byte {offset} (0x{byte:02x}, {reason})\n"
        f"  fix      convert it, for example: iconv -f latin1 -t utf-8 {path.name}"
    )


def digest_files(paths: list[Path], max_bytes: int | None = None) -> str:
    """Hash of the files' contents in order, each up to `max_bytes`; names do not count."""
    whole = hashlib.blake2b(digest_size=20)
    for path in paths:
        one = hashlib.blake2b(digest_size=20)
        left = max_bytes
        try:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20 if left is None else min(left, 1 << 20)):
                    one.update(chunk)
                    left = None if left is None else left - len(chunk)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
        whole.update(one.digest() + (b"z" if path.suffix == ".gz" else b"-"))
    return whole.hexdigest()
