"""The manifest of a folder of checkpoints: the SHA-256 and size of every file that was saved whole, and what it is."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lit_transformer.records.atomic import finite
from lit_transformer.records.hashed import hash_file

LAST = "last.ckpt"
BEST = "best.ckpt"
MANIFEST = "manifest.json"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the manifest says of one checkpoint."""

    name: str
    """The file's name when it was saved: last.ckpt or best.ckpt."""
    sha256: str
    bytes: int
    step: int
    resumable: bool
    """False: weights alone."""
    serial: int
    """Counts the saves of a folder, from 1: after a fallback the newer one may have the lower step."""
    facts: dict[str, object]
    """What the saver noted: plain JSON."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The entries of a folder. Bytes that were saved under both names have one entry, that of last.ckpt."""

    files: Mapping[str, Entry] = field(default_factory=dict)
    """SHA-256 -> entry."""
    best: str | None = None
    """SHA-256 of the newest best.ckpt."""

    def newest_first(self) -> list[Entry]:
        """All entries."""
        return sorted(self.files.values(), key=lambda entry: -entry.serial)

    def lasts(self) -> list[Entry]:
        """The entries saved as last.ckpt, newest first; each one's step is below the one's before it."""
        return [entry for entry in self.newest_first() if entry.name == LAST]

    def best_entry(self) -> Entry | None:
        """The entry of the newest best.ckpt."""
        return None if self.best is None else self.files[self.best]

    def to_bytes(self) -> bytes:
        """The file's content, which carries a SHA-256 of itself."""
        files = {sha256: asdict(entry) for sha256, entry in self.files.items()}
        for values in files.values():
            del values["sha256"]
        value: dict[str, object] = {"version": VERSION, "best": self.best, "files": files}
        return (json.dumps({**value, "sha256": _digest(value)}, indent=2) + "\n").encode()


class ManifestError(ValueError):
    """A manifest that is damaged, or not one that this version reads."""


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`; raises ManifestError, FileNotFoundError and other OSErrors."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        raise ManifestError("is damaged: it is no JSON") from None
    if not isinstance(value, dict) or "version" not in value:
        raise ManifestError("is damaged, or not this project's")
    if value["version"] != VERSION:
        raise ManifestError(f"is damaged, or of another version ({value['version']}, not {VERSION})")
    if value.pop("sha256", None) != _digest(value):
        raise ManifestError("is damaged: its own SHA-256 differs")
    try:
        files = {sha256: Entry(sha256=sha256, **values) for sha256, values in value["files"].items()}
        manifest = Manifest(files=files, best=value["best"])
        manifest.best_entry()
    except (KeyError, TypeError, AttributeError):
        raise ManifestError("is not this project's: its fields are others") from None
    return manifest


def plain(facts: Mapping[str, object]) -> dict[str, object]:
    """`facts` as JSON gives them back: tuples as lists, infinities as None. Raises TypeError for what JSON lacks."""
    value: dict[str, object] = json.loads(json.dumps(finite(dict(facts))))
    return value


def verify(path: Path, entry: Entry, digest: Callable[[Path], str] = hash_file) -> str | None:
    """What is wrong with the file `path` as the checkpoint that `entry` describes; None when it is good."""
    try:
        size = path.stat().st_size
        if size != entry.bytes:
            return f"it has {size} bytes instead of {entry.bytes}"
        return None if digest(path) == entry.sha256 else "its SHA-256 differs from the manifest's"
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"


def _digest(value: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
