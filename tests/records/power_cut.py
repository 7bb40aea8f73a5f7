"""What a save asks of the disk, recorded, and what a power cut at any moment may leave of it."""

import hashlib
import itertools
import os
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_transformer.records.checkpoints import CheckpointFolder, Entry

WATCHED = ("open", "write", "fsync", "close", "replace", "unlink", "mkdir")
"""Functions of `os` with which a save changes a folder; test_crashes.py shows with strace that there are no others."""


@dataclass(frozen=True)
class Call:
    """One call of a function of `os` on a file of the folder."""

    name: str
    path: str
    """Relative to the folder; empty for the folder itself."""
    target: str = ""
    """The new name, of a replace."""
    data: bytes = b""
    """What was written."""
    ran: bool = True
    """Whether the real function ran: a test may have put another in its place."""


@contextmanager
def watched(folder: Path, before: Callable[[Call], object], after: Callable[[Call], object]) -> Iterator[None]:
    """Call `before` and `after` around every call in WATCHED that changes `folder` or opens it."""
    open_files: dict[int, str] = {}
    originals = {name: getattr(os, name) for name in WATCHED}

    def relative(path: object) -> str | None:
        text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
        return os.path.relpath(text, folder) if Path(text).is_relative_to(folder) else None

    def described(name: str, arguments: tuple[Any, ...]) -> Call | None:
        if name in ("write", "fsync", "close"):
            path = open_files.get(arguments[0])
        else:
            path = relative(arguments[0])
        if path is None:
            return None
        real = isinstance(originals[name], types.BuiltinFunctionType)
        target = relative(arguments[1]) or "" if name == "replace" else ""
        return Call(name, "" if path == "." else path, target, bytes(arguments[1]) if name == "write" else b"", real)

    def wrap(name: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            call = described(name, arguments)
            if call is None:
                return originals[name](*arguments, **keywords)
            before(call)
            result = originals[name](*arguments, **keywords)
            if name == "open":
                open_files[result] = call.path
            elif name == "close":
                del open_files[arguments[0]]
            elif name == "write":
                call = Call(name, call.path, data=call.data[:result], ran=call.ran)
            after(call)
            return result

        return wrapped

    for name in WATCHED:
        setattr(os, name, wrap(name))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


@dataclass
class Record:
    """Saves, as the disk saw them."""

    before: dict[str, bytes]
    """The folder before them, name -> content, safe on the disk."""
    calls: list[Call] = field(default_factory=list)
    done: list[tuple[int, Entry]] = field(default_factory=list)
    """Number of calls after which a save had returned, and its entry."""


def record_saves(folder: CheckpointFolder, saves: Sequence[Callable[[], Entry]]) -> Record:
    """Run `saves`, each of which saves to `folder`, which is there already, and record their calls."""
    names = os.listdir(folder.path)
    record = Record({name: (folder.path / name).read_bytes() for name in names})
    with watched(folder.path, before=lambda call: None, after=record.calls.append):
        for save in saves:
            entry = save()
            record.done.append((len(record.calls), entry))
    return record


class Disk:
    """A disk on which what was not flushed may be lost: a file's content, and each change to the folder by itself."""

    def __init__(self, before: dict[str, bytes]) -> None:
        self.content: list[bytes] = list(before.values())
        self.flushed: list[bytes] = list(before.values())
        self.names: dict[str, int] = {name: number for number, name in enumerate(before)}
        """As the processes see it: name -> file."""
        self.safe_names = dict(self.names)
        self.pending: list[tuple[str, str, int]] = []
        """Changes of the folder since its last flush: (name that goes or "", name that comes or "", file)."""

    def apply(self, call: Call) -> None:
        if call.name == "open" and call.path and call.path not in self.names:
            self.names[call.path] = len(self.content)
            self.content.append(b"")
            self.flushed.append(b"")
            self.pending.append(("", call.path, self.names[call.path]))
        elif call.name == "write":
            self.content[self.names[call.path]] += call.data
        elif call.name == "fsync" and call.ran and call.path:
            self.flushed[self.names[call.path]] = self.content[self.names[call.path]]
        elif call.name == "fsync" and call.ran:
            self.safe_names, self.pending = dict(self.names), []
        elif call.name == "replace":
            self.names[call.target] = self.names.pop(call.path)
            self.pending.append((call.path, call.target, self.names[call.target]))
        elif call.name == "unlink":
            self.pending.append((call.path, "", self.names.pop(call.path)))

    def after_cut(self) -> Iterator[dict[str, bytes]]:
        """Every folder that may be found: any of the pending changes made or not, unflushed content lost or halved."""
        for happened in itertools.product((False, True), repeat=len(self.pending)):
            names = dict(self.safe_names)
            for (gone, new, number), did in zip(self.pending, happened, strict=True):
                if did:
                    names.pop(gone, None)
                    if new:
                        names[new] = number
            for share in (0, 2, 1):  # nothing arrived, half of it, all of it
                yield {name: self._left(number, share) for name, number in names.items()}

    def _left(self, number: int, share: int) -> bytes:
        if self.flushed[number] == self.content[number]:
            return self.content[number]
        return self.content[number][: len(self.content[number]) // share] if share else b""


def assert_survives_power_cuts(record: Record, scratch: Path) -> int:
    """Cut the power before every call of `record` and after the last, and look at what is left, in the empty `scratch`.

    Neither `newest` nor `best` may go further back than the last save that had returned, nothing may stand half-written
    at a name that is not temporary, and the folder must be usable. Returns the number of different folders looked at.
    """
    whole = set(record.before.values())
    seen: set[tuple[tuple[tuple[str, str], ...], int, int]] = set()
    disk = Disk(record.before)
    replayed = Disk(record.before)
    for call in record.calls:
        replayed.apply(call)
        if call.name == "replace":
            whole.add(replayed.content[replayed.names[call.target]])
    first = CheckpointFolder(_materialise(record.before, scratch / "first")).entries()
    for number in range(len(record.calls) + 1):
        returned = first + [entry for calls, entry in record.done if calls <= number]
        last = max((entry.serial for entry in returned if entry.resumable), default=0)
        best = max((entry.serial for entry in returned if not entry.resumable), default=0)
        for left in disk.after_cut():
            hashes = tuple(sorted((name, hashlib.sha256(data).hexdigest()) for name, data in left.items()))
            if (hashes, last, best) not in seen:
                seen.add((hashes, last, best))
                what = f"power cut before call {number} of {len(record.calls)}"
                _assert_good(_materialise(left, scratch / str(len(seen))), whole, last, best, what)
        if number < len(record.calls):
            disk.apply(record.calls[number])
    return len(seen)


def _materialise(left: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, data in left.items():
        (folder / name).write_bytes(data)
    return folder


def _assert_good(path: Path, whole: set[bytes], last: int, best: int, what: str) -> None:
    for file in path.iterdir():
        if not file.name.startswith("."):
            assert file.read_bytes() in whole, f"{what}: {file.name} is half-written"
    folder = CheckpointFolder(path)
    lines: list[str] = []
    newest = folder.newest(lines.append)
    if last:
        assert newest is not None and newest.entry.serial >= last, f"{what}: {lines}"
    if newest is not None:
        assert hashlib.sha256(newest.path.read_bytes()).hexdigest() == newest.entry.sha256
    if best:
        weights = folder.best(lines.append)
        assert weights is not None and not weights.entry.resumable and weights.entry.serial >= best, f"{what}: {lines}"
        assert hashlib.sha256(weights.path.read_bytes()).hexdigest() == weights.entry.sha256
    folder.clean()
    assert not [name for name in os.listdir(path) if name.startswith(".")], what
