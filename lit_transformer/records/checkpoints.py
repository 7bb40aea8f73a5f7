"""A run's folder of checkpoints, in which every moment of a crash or a power cut leaves a good one.

A file is good when the manifest holds its SHA-256, whatever its name. A save goes in this order, each part on the disk
before the next begins:

1. The new file and the new manifest are written under temporary names, in the same folder.
2. The old file moves aside: last.ckpt to step-N.ckpt, best.ckpt to best-N.ckpt, N being its step.
3. The new file takes its name.
4. The new manifest takes its name: from here the new file counts, and before it the old one.
5. What is no longer kept is removed.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import IO, Literal

from lit_transformer.records.atomic import sync_folder
from lit_transformer.records.finding import CHECKPOINT, Found, Look, aside, files, first_good, manifest_of
from lit_transformer.records.hashed import Digests, write_hashed
from lit_transformer.records.manifest import BEST, LAST, MANIFEST, Entry, Manifest, plain, verify

__all__ = ["BEST", "LAST", "MANIFEST", "CheckpointFolder", "Entry", "Found", "verify"]

OF_LAST = re.compile(r"(last|step-\d+)\.ckpt")
OF_BEST = re.compile(r"(best|best-\d+)\.ckpt")
TEMPORARY = re.compile(r"\.(last\.ckpt|best\.ckpt|manifest\.json)\.[0-9a-z_]+\.tmp")
PASSING = "passing"
"""A fact: this resumable checkpoint is kept until the next one is whole, and takes no place that counts after it."""
LARGE = 1 << 26
"""Bytes from which removing goes on beside the training: a file system frees 1 GB in about 0.2 s."""
LOOKS = 20
"""Times that a reader looks again because a save ended meanwhile."""


class CheckpointFolder:
    """The checkpoints of one run: one process saves (the run's lock sees to it), any number read."""

    def __init__(self, path: Path, *, keep: int = 2) -> None:
        """`keep` counts the resumable checkpoints to keep, last.ckpt among them."""
        self.path = path
        self.keep = keep
        self._digests = Digests()
        self._removing: Thread | None = None

    def save(
        self,
        name: str,
        dump: Callable[[IO[bytes]], object],
        *,
        step: int,
        resumable: bool,
        facts: Mapping[str, object],
    ) -> Entry:
        """Save what `dump` writes as last.ckpt or best.ckpt, and return its entry.

        A new last.ckpt gives up those of the same and of later steps: after a fallback they belong to a future that did
        not happen. A damaged one takes no kept place: a process's first save hashes the earlier files that it keeps, as
        far as `newest` has not. Raises OSError, a full disk's among them, with the earlier checkpoints intact and no
        temporary file left; TypeError for facts that JSON lacks.
        """
        if name not in (LAST, BEST):
            raise ValueError(f"a checkpoint is saved as {LAST} or {BEST}, not {name}")
        noted = plain(facts)
        self._wait()
        self._make_folder()
        old, _ = manifest_of(self.path, strict=True)  # starting anew over a moment's I/O error would lose the old ones
        with self._temporary(name) as file, self._temporary(MANIFEST) as manifest_file:
            sha256, size = write_hashed(file, dump)
            self._digests.learn(file, sha256)
            serial = max((entry.serial for entry in old.files.values()), default=0) + 1
            entry = Entry(
                name=name, sha256=sha256, bytes=size, step=step, resumable=resumable, serial=serial, facts=noted
            )
            new = self._with_last(old, entry) if name == LAST else _with_best(old, entry)
            write_hashed(manifest_file, lambda target: target.write(new.to_bytes()))
            self._move_aside(name, old, sha256)
            self._rename(file, name)
            self._rename(manifest_file, MANIFEST)
        self._remove_aside(name, kept=new.lasts()[1:] if name == LAST else [])
        return new.files[sha256]

    def newest(self, report: Callable[[str], None]) -> Found | None:
        """The newest good checkpoint to resume from; None where there is none.

        `report` gets a line for each one passed over: why, and what is taken instead.
        """
        return self._look(Look.newest, report)

    def best(self, report: Callable[[str], None]) -> Found | None:
        """The weights of the best validation, verified; without them `newest`, and a line to `report` that says so."""
        return self._look(Look.best, report)

    def holds(self, path: Path) -> bool:
        """Whether the content of `path` is that of a checkpoint that was saved here; not hashed again after a look."""
        return any(verify(path, entry, self._digests.of) is None for entry in self.entries())

    def entries(self) -> list[Entry]:
        """What the manifest lists, newest first, nothing verified; empty where it is missing or damaged."""
        return manifest_of(self.path)[0].newest_first()

    def prune(self, keep: Literal["all", "last", "best"]) -> None:
        """Leave best.ckpt alone, or last.ckpt and those before it; remove nothing where what is to stay is not good.

        Raises OSError.
        """
        if keep == "all":
            return
        self._wait()
        manifest, _ = manifest_of(self.path, strict=True)
        best = manifest.best_entry()
        stay = manifest.lasts() if keep == "last" else [] if best is None else [best]
        gone = files(self.path, OF_BEST if keep == "last" else OF_LAST)
        left = [path for path in files(self.path, CHECKPOINT) if path not in gone]
        if not any(first_good(left, entry, self._digests) for entry in stay):
            return
        pruned = Manifest(files={entry.sha256: entry for entry in stay}, best=manifest.best if keep == "best" else None)
        with self._temporary(MANIFEST) as file:
            write_hashed(file, lambda target: target.write(pruned.to_bytes()))
            self._rename(file, MANIFEST)
        _remove(gone)

    def clean(self) -> None:
        """Remove the temporary files that killed saves left: no other file, no link, no folder."""
        for path in files(self.path, TEMPORARY):
            os.unlink(path)

    def _look(self, find: Callable[[Look], Found | None], report: Callable[[str], None]) -> Found | None:
        for _ in range(LOOKS):
            look = Look(self.path)
            found = find(look)
            if look.is_current():
                break
        self._digests = look.digests
        for line in look.lines(found):
            report(line)
        return found

    def _make_folder(self) -> None:
        if not self.path.is_dir():
            os.makedirs(self.path, exist_ok=True)
            sync_folder(self.path.parent)

    @contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        """A path for a temporary file, which is removed when the block fails."""
        path = self.path / f".{name}.{secrets.token_hex(4)}.tmp"
        try:
            yield path
        except BaseException:
            with suppress(OSError):  # not there yet, or renamed; another error must not hide the first
                os.unlink(path)
            raise

    def _rename(self, path: Path, name: str) -> None:
        os.replace(path, self.path / name)
        sync_folder(self.path)

    def _with_last(self, old: Manifest, entry: Entry) -> Manifest:
        kept = {entry.sha256: entry}
        for earlier in old.lasts():
            if len(kept) == self.keep:
                break
            paths = [self.path / LAST, self.path / aside(LAST, earlier.step)]
            ancestor = earlier.step < entry.step and earlier.sha256 != entry.sha256
            if ancestor and not earlier.facts.get(PASSING) and first_good(paths, earlier, self._digests):
                kept[earlier.sha256] = earlier
        best = old.best_entry()
        if best is not None and best.sha256 not in kept:  # no longer a last.ckpt, if it was one too
            kept[best.sha256] = replace(best, name=BEST, resumable=best.resumable and best.name == BEST)
        return Manifest(files=kept, best=old.best)

    def _move_aside(self, name: str, old: Manifest, sha256: str) -> None:
        """Keep the good file at `name` beyond its replacement; a damaged one is replaced where it stands."""
        try:
            held = self._digests.of(self.path / name)
        except OSError:
            return
        if held in old.files and held != sha256:
            self._rename(self.path / name, aside(name, old.files[held].step))

    def _remove_aside(self, name: str, kept: list[Entry]) -> None:
        names = {name, *(aside(name, entry.step) for entry in kept)}
        gone = [path for path in files(self.path, OF_LAST if name == LAST else OF_BEST) if path.name not in names]
        if sum(path.stat().st_size for path in gone) < LARGE:
            _remove(gone)
        else:
            self._removing = Thread(target=_remove, args=(gone,))
            self._removing.start()

    def _wait(self) -> None:
        if self._removing is not None:
            self._removing.join()


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with suppress(OSError):  # the save is done; the next one removes what this one could not
            os.unlink(path)


def _with_best(old: Manifest, entry: Entry) -> Manifest:
    kept = {earlier.sha256: earlier for earlier in old.lasts()}
    return Manifest(files={entry.sha256: entry, **kept}, best=entry.sha256)
