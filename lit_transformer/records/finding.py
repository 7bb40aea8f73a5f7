"""Finding a good checkpoint in a folder as a crash, a full disk or a damaged disk left it."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lit_transformer.records.hashed import Digests
from lit_transformer.records.manifest import BEST, LAST, MANIFEST, Entry, Manifest, ManifestError, read_manifest, verify

ASIDE = {LAST: "step", BEST: "best"}
CHECKPOINT = re.compile(r"(last|best|step-\d+|best-\d+)\.ckpt")

UNKNOWN = "is passed over: it is not in the manifest, so its save was cut off or it is damaged"


@dataclass(frozen=True)
class Found:
    """A checkpoint whose content was verified."""

    path: Path
    entry: Entry


def aside(name: str, step: int) -> str:
    """The name to which last.ckpt or best.ckpt of `step` moves before another takes its own."""
    return f"{ASIDE[name]}-{step}.ckpt"


def files(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Regular files, no links, whose whole name matches, sorted; empty where there is no such folder."""
    try:
        with os.scandir(folder) as found:
            matching = [item for item in found if pattern.fullmatch(item.name) and item.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted(folder / item.name for item in matching)


def locate(folder: Path, name: str, entry: Entry, digests: Digests) -> Path | None:
    """Where in `folder` the content of `entry` lies, if anywhere; `name` is the one it should have.

    The order matters to a reader beside a save: what is no longer at its own name has moved aside by then.
    """
    own_names = [folder / name, folder / aside(name, entry.step)]
    return first_good(own_names, entry, digests) or first_good(files(folder, CHECKPOINT), entry, digests)


def first_good(paths: Iterable[Path], entry: Entry, digests: Digests) -> Path | None:
    """The first of `paths` that holds the content of `entry`."""
    return next((path for path in paths if verify(path, entry, digests.of) is None), None)


@dataclass
class Look:
    """One look at a folder: what is found is good now, not as some earlier look saw it."""

    folder: Path
    manifest: Manifest = field(init=False)
    problem: str | None = field(init=False)
    """What is wrong with the manifest."""
    digests: Digests = field(init=False, default_factory=Digests)
    bad: dict[Path, str] = field(init=False, default_factory=dict)
    """What was passed over, and why."""

    def __post_init__(self) -> None:
        self.manifest, self.problem = manifest_of(self.folder)
        if self.problem is not None and files(self.folder, CHECKPOINT):
            self.bad[self.folder / MANIFEST] = f"{self.problem}, and without it no checkpoint can be trusted"

    def is_current(self) -> bool:
        """Whether no save ended since, which may have moved the files while they were looked at."""
        return manifest_of(self.folder) == (self.manifest, self.problem)

    def newest(self) -> Found | None:
        """The newest good resumable checkpoint."""
        resumable = [entry for entry in self.manifest.newest_first() if entry.resumable]
        for entry in resumable:
            found = self._take(entry, entry.name, is_newest=entry is resumable[0])
            if found is not None:
                return found
        return None

    def best(self) -> Found | None:
        """The weights of the best validation, else `newest`."""
        best = self.manifest.best_entry()
        if best is not None:
            found = self._take(best, BEST, is_newest=True)
            if found is not None:
                return found
        elif self.problem is None:
            there = (self.folder / BEST).exists()
            self.bad[self.folder / BEST] = "is not in the manifest" if there else "was not saved"
        return self.newest()

    def _take(self, entry: Entry, name: str, *, is_newest: bool) -> Found | None:
        own, moved = self.folder / name, self.folder / aside(name, entry.step)
        path = locate(self.folder, name, entry, self.digests)
        if path is None:
            blamed = own if is_newest and not moved.exists() else moved
            problem = verify(blamed, entry, self.digests.of) or "was there a moment ago"
            self.bad.setdefault(blamed, f"of step {entry.step} is passed over: {problem}")
            return None
        if is_newest and path != own and own.exists():
            self.bad.setdefault(own, UNKNOWN)
        return Found(path, entry)

    def lines(self, found: Found | None) -> list[str]:
        """For a person: what was passed over, why, and what is taken instead."""
        taken = (
            "nothing else is left"
            if found is None
            else f"{found.path.name} of step {found.entry.step} is taken instead"
        )
        return [f"{path} {problem}; {taken}" for path, problem in self.bad.items()]


def manifest_of(folder: Path, *, strict: bool = False) -> tuple[Manifest, str | None]:
    """The manifest, empty where it is missing or damaged, and what is wrong with it; `strict` raises OSError."""
    try:
        return read_manifest(folder / MANIFEST), None
    except FileNotFoundError:
        return Manifest(), "is missing"
    except ManifestError as error:
        return Manifest(), str(error)
    except OSError as error:
        if strict:
            raise
        return Manifest(), f"cannot be read ({error.strerror})"
