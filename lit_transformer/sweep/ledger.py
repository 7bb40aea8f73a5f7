"""The ledger of a sweep: claims as files, so that every cell is run once, whoever dies.

In `claims/` a file `<cell>.<attempt>`, created exclusively, is a claim; its modification time is the holder's
heartbeat. `<cell>.<attempt>.<end>` says how the attempt ended. The highest attempt decides a cell's state: no claim or
one that ended `lost`, `error`, `preempted` or `again` is open; one without an end is held while its holder lives, and
open afterwards: whoever creates the next attempt first has the cell. A
file `.closed` keeps cells that nobody has begun from being claimed. Nothing is ever rewritten, so a kill or a full
disk at any moment leaves a ledger that reads the same. One claim costs one listing of the folder, however far the sweep
has come.
"""

import contextlib
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from lit_transformer.records.atomic import write_text
from lit_transformer.sweep.holder import Holder

End = Literal["complete", "pruned", "diverged", "failed", "stopped", "lost", "error", "preempted", "again"]
"""`stopped`: asked to end before it was done. To be run again: `lost`, killed; `error`, failed and to be retried;
`preempted`, its worker had to leave; `again`, an earlier end, reopened."""
ENDS: tuple[End, ...] = get_args(End)
KEPT: tuple[End, ...] = ("complete", "pruned", "diverged")
"""Ends that the same command again leaves alone."""
OPEN: tuple[End, ...] = ("lost", "error", "preempted", "again")
"""Ends after which a cell may be claimed in the same run."""
HEARTBEAT = 10.0
"""Seconds between heartbeats."""
CLOSED = ".closed"
"""The file that says why no cell is begun any more."""
STALE = 2 * HEARTBEAT
"""Seconds without one after which a holder on another machine counts as dead."""


@dataclass
class Attempts:
    """What the folder of claims says of one cell."""

    highest: int = 0
    ends: dict[int, End] = field(default_factory=dict)

    @property
    def end(self) -> End | None:
        """How the highest attempt ended; None where it did not, or where there is none."""
        return self.ends.get(self.highest)

    def earlier(self, attempt: int, end: End) -> int:
        """How many of the attempts before `attempt` were `lost`, or an `error`, since one ended in another way.

        A reopened, preempted or abandoned attempt starts the count anew.
        """
        count, before = 0, attempt - 1
        while self.ends.get(before) in ("lost", "error"):
            count += self.ends[before] == end
            before -= 1
        return count


@dataclass(frozen=True)
class Claim:
    """One attempt at a cell, held by this process."""

    folder: Path
    cell: str
    attempt: int

    @property
    def path(self) -> Path:
        return self.folder / f"{self.cell}.{self.attempt}"

    def beat(self) -> bool:
        """Show that the holder lives; False where another has taken the cell over, and this attempt must stop."""
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return self.is_highest()

    def is_highest(self) -> bool:
        """Whether no higher attempt exists: to be asked before a result is written."""
        return not (self.folder / f"{self.cell}.{self.attempt + 1}").exists()

    def end(self, end: End) -> bool:
        """Record how the attempt ended; False, with nothing recorded, where another has taken the cell over."""
        if not self.is_highest():
            return False
        (self.folder / f"{self.cell}.{self.attempt}.{end}").touch()
        return True


@contextlib.contextmanager
def beating(claim: Claim) -> Iterator[None]:
    """Show that the holder lives while the block runs, however long that takes."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT / 2):
            claim.beat()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class Ledger:
    """The claims of one sweep, as one holder sees them."""

    def __init__(self, folder: Path, cells: Sequence[str], holder: Holder, *, stale: float = STALE) -> None:
        self.folder = folder
        self.cells = cells
        self.holder = holder
        self.stale = stale
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, Attempts]:
        """Every claim by cell, from one listing."""
        return read_claims(self.folder)

    def claim(self) -> Claim | None:
        """Claim the first open cell in order, or None; raises OSError (a full disk), with nothing claimed."""
        attempts, closed = self.read(), self.why_closed()
        for cell in self.cells:
            known = attempts.get(cell, Attempts())
            if self.is_open(cell, known) and (known.highest or not closed):
                claim = Claim(self.folder, cell, known.highest + 1)
                if self._create(claim):
                    return claim
        return None

    def unsettled(self) -> bool:
        """Whether a cell is open or held: there may still be something to do."""
        attempts, closed = self.read(), self.why_closed()
        known = [attempts.get(cell, Attempts()) for cell in self.cells]
        return any(item.end in (None, *OPEN) for item in known if item.highest or not closed)

    def close(self, why: str) -> None:
        """From now on nobody begins a cell; those that were begun go on to their ends. Raises OSError."""
        write_text(self.folder / CLOSED, why)

    def open_again(self) -> None:
        """Let cells be begun again."""
        (self.folder / CLOSED).unlink(missing_ok=True)

    def why_closed(self) -> str:
        """Why no cell is begun any more; empty where cells are."""
        return why_closed(self.folder)

    def is_open(self, cell: str, known: Attempts) -> bool:
        """Whether the cell may be claimed: never tried, ended open, or held by nobody alive."""
        if known.highest == 0 or known.end in OPEN:
            return True
        if known.end is not None or self.is_held(cell, known):
            return False
        # Its holder is dead now, but may have ended the attempt after the folder was listed and before it died.
        settled = (self.folder / f"{cell}.{known.highest}.{end}" for end in ENDS if end not in OPEN)
        return not any(path.exists() for path in settled)

    def is_held(self, cell: str, known: Attempts) -> bool:
        """Whether the highest attempt has not ended and its holder lives."""
        if known.highest == 0 or known.end is not None:
            return False
        path = self.folder / f"{cell}.{known.highest}"
        alive = read_holder(path).is_alive()
        return alive if alive is not None else not self._silent(path)

    def reopen(self, ends: Iterable[End], missing: Mapping[str, bool]) -> list[str]:
        """Open cells whose highest attempt has one of `ends`, or is `missing` its result; returns them.

        Only for a driver that holds the sweep's lock. Earlier losses are forgotten with it.
        """
        chosen = tuple(ends)
        reopened = []
        for cell, known in self.read().items():
            if known.end in chosen or (known.end in KEPT and missing.get(cell, False)):
                name = self.folder / f"{cell}.{known.highest}"
                os.replace(f"{name}.{known.end}", f"{name}.again")
                reopened.append(cell)
        return reopened

    def held_by(self, worker: str) -> list[Claim]:
        """Unended claims of a worker: what its driver settles when it has died."""
        found = []
        for cell, known in self.read().items():
            if known.highest and known.end is None:
                claim = Claim(self.folder, cell, known.highest)
                if read_holder(claim.path).worker == worker:
                    found.append(claim)
        return found

    def _create(self, claim: Claim) -> bool:
        try:
            descriptor = os.open(claim.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, json.dumps(self.holder.to_json() | {"time": time.time()}).encode())
        except OSError:  # a full disk: an empty claim would hold the cell until its heartbeat is stale
            claim.path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return True

    def _silent(self, path: Path) -> bool:
        """Whether the heartbeat is too old, by the file system's own clock: hosts may disagree about the time."""
        clock = self.folder / f".clock-{self.holder.worker}"
        try:
            clock.touch()
            return clock.stat().st_mtime - path.stat().st_mtime > self.stale
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                clock.unlink()


def why_closed(folder: Path) -> str:
    """Why no cell of a folder of claims is begun any more; empty where cells are."""
    try:
        return (folder / CLOSED).read_text(encoding="utf-8")
    except OSError:
        return ""


def read_claims(folder: Path) -> dict[str, Attempts]:
    """Every claim by cell, from one listing of a folder of claims; empty where there is none."""
    found: defaultdict[str, Attempts] = defaultdict(Attempts)
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    for name in names:
        rest, _, last = name.rpartition(".")
        if last.isdecimal() and rest:
            found[rest].highest = max(found[rest].highest, int(last))
        elif last in ENDS:
            cell, _, attempt = rest.rpartition(".")
            if cell and attempt.isdecimal():
                found[cell].ends[int(attempt)] = last
    return dict(found)


def read_holder(path: Path) -> Holder:
    """Who made a claim; nobody known where the file is empty, cut or gone."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Holder.from_json(value)
    except (OSError, ValueError, KeyError, TypeError):
        return Holder(worker="", host="", pid=0, started=0.0)
