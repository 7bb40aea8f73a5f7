"""The built-in corpus: docstrings and prose of the running Python's standard library, read without executing it."""

import ast
import gc
import hashlib
import os
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lit_transformer.config.errors import UserError

SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "lib-dynload"}
    | {"encodings", "lib2to3", "turtledemo", "ensurepip", "__phello__", "pydoc_data"}
)
"""Folders without prose, tests, and parts that distributions ship separately."""

PROSE = ("LICENSE.txt", "email/architecture.rst")
"""Plain text in the standard library; absent in some distributions."""

TOPICS = "pydoc_data/topics.py"
"""One dict literal: pydoc's topics, which are chapters of the language reference."""

MIN_QUOTES_PER_BYTE = 0.0002
"""Files with fewer triple quotes cost more to parse than their docstrings are worth."""


def builtin_files(root: Path | None = None) -> list[Path]:
    """Files of the standard library that the corpus is made of, in a fixed order.

    Raises UserError where the running Python has no sources on disk.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        here = os.path.relpath(folder, root)
        found += [os.path.normpath(os.path.join(here, name)) for name in names if name.endswith(".py")]
    # the build's own settings, different on every machine
    sources = sorted(name for name in found if not os.path.basename(name).startswith("_sysconfigdata"))
    if not sources:
        raise UserError(
            f"data.source=builtin: the running Python has no sources in {root}\n"
            "  fix      set data.source=text and data.path"
        )
    return [root / name for name in sources] + [root / name for name in (*PROSE, TOPICS) if (root / name).is_file()]


def digest_builtin(files: list[Path]) -> str:
    """Hash of the contents of the files in order."""
    whole = hashlib.blake2b(digest_size=20)
    for file in files:
        raw = file.read_bytes()
        whole.update(len(raw).to_bytes(8, "little") + raw)
    return whole.hexdigest()


def read_builtin(files: list[Path]) -> Iterator[str]:
    """One document a module (its docstrings, in order), prose file and topic; a docstring met before is left out."""
    seen: set[str] = set()
    for file in files:
        raw = file.read_bytes()
        if file.suffix != ".py":
            yield raw.decode("utf-8", errors="replace")
        elif file.match(TOPICS):
            yield from _topics(raw)
        elif raw.count(b'"""') >= MIN_QUOTES_PER_BYTE * len(raw):
            fresh = [text for text in dict.fromkeys(_docstrings(raw)) if text not in seen]
            seen.update(fresh)
            if fresh:
                yield "\n\n".join(fresh) + "\n"


@contextmanager
def _parsing() -> Iterator[None]:
    """Without the collector, which would walk the growing tree again and again, and without warnings about escapes."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if was_enabled:
            gc.enable()


def _docstrings(raw: bytes) -> list[str]:
    """Docstrings of a module, its classes and functions, in the order of the source; none where it does not parse."""
    with _parsing():
        try:
            tree = ast.parse(raw)
        except (SyntaxError, ValueError, RecursionError):
            return []
        return list(_visit(tree))


def _visit(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    text = ast.get_docstring(node)
    if text and text.strip():
        yield text.strip()
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _visit(child)


def _topics(raw: bytes) -> Iterator[str]:
    """Each topic of pydoc; none where the file is not the expected assignment of a dict of strings."""
    with _parsing():
        try:
            tree = ast.parse(raw)
            literal = next(node.value for node in tree.body if isinstance(node, ast.Assign))
            topics = ast.literal_eval(literal)
        except (SyntaxError, ValueError, StopIteration, RecursionError):
            return
    for name in sorted(topics):
        yield textwrap.dedent(topics[name]).strip() + "\n"
