"""Ends a run in which no rank makes progress any more, and says which rank the others wait for."""

import faulthandler
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from lit_transformer.processes.progress_file import (
    Phase,
    Progress,
    ProgressFile,
    machine_id,
    progress_path,
    read_progress,
)

MAX_INTERVAL = 2.0
"""Seconds between beats, at most."""
CLOCK_SLACK = 60.0
"""Seconds by which two machines may disagree about the time."""
_NAMED = 4
"""Ranks that a message names, at most."""
_DOING = {
    Phase.STARTING: "while it starts",
    Phase.LOADING: "while it waits for a batch",
    Phase.TRAINING: "while it trains",
    Phase.REDUCING: "while it computes gradients",
    Phase.VALIDATING: "while it validates",
    Phase.SAVING: "while it saves",
    Phase.ENDING: "while it ends",
}


@dataclass(kw_only=True)
class _Peer:
    """Another rank, as this one has seen it since its own progress stopped."""

    progress: Progress | None
    unchanged: float = 0.0
    """Seconds without a mark. Counted here, in this process's own time: clocks of machines differ."""
    unanswered: float = 0.0
    """Seconds without a beat."""

    def see(self, progress: Progress | None, elapsed: float) -> None:
        before, self.progress = self.progress, progress
        self.unchanged = self.unchanged + elapsed if _marks(before) == _marks(progress) else 0.0
        self.unanswered = self.unanswered + elapsed if _beats(before) == _beats(progress) else 0.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Who is to blame for a hang."""

    ranks: tuple[int, ...]
    """Those that still run: they say it themselves, with their stacks, and end before the others."""
    text: str


class Watchdog:
    """Keeps this rank's progress file, and a thread that ends the process when no rank makes progress.

    Progress is a call of `mark`. After `timeout` seconds in which no rank made any, the thread prints who is to blame,
    with the stack of every thread where it is this rank, kills the loader workers and ends the process with status 1.
    `timeout` None keeps the file alone. Time in which this process was stopped does not count. Raises OSError where
    the file cannot be made.

    A main thread that hangs in C code and keeps the interpreter's lock stops this thread too: the other ranks see that
    it no longer answers; a single rank has nobody to see it.
    """

    def __init__(self, folder: Path, rank: int, world_size: int, timeout: float | None) -> None:
        self._folder, self._rank, self._world_size, self._timeout = folder, rank, world_size, timeout
        self._interval = min(timeout / 10, MAX_INTERVAL) if timeout is not None else MAX_INTERVAL
        self._flush = world_size > int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # other machines read over a network
        self._file = ProgressFile(progress_path(folder, rank))
        self._started = time.time()
        self._stalled = 0.0
        self._peers: dict[int, _Peer] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        if self._timeout is not None:
            self._thread = threading.Thread(target=self._watch, args=(self._timeout,), name="watchdog", daemon=True)
            self._thread.start()

    def mark(self, phase: Phase, step: int) -> None:
        """Note progress; see ProgressFile.mark."""
        self._file.mark(phase, step)

    def close(self) -> None:
        """Stop watching; nothing may be marked afterwards."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()
        self._file.close()

    def _watch(self, timeout: float) -> None:
        seen, last = self._file.changes, time.monotonic()
        while not self._closed.wait(self._interval):
            now = time.monotonic()
            # a pause longer than that was no waiting: this process did not run (SIGSTOP, a suspended job)
            elapsed, last = min(now - last, 2 * self._interval), now
            self._file.beat(flush=self._flush)
            if self._file.changes != seen:
                seen, self._stalled = self._file.changes, 0.0
                self._peers.clear()
                continue
            self._stalled += elapsed
            if self._stalled >= timeout / 10:  # not before: a healthy run reads no files of others
                self._look(elapsed)
            if self._stalled >= timeout and all(peer.unchanged >= timeout for peer in self._peers.values()):
                self._end(self._blame(timeout), timeout)

    def _look(self, elapsed: float) -> None:
        for rank in range(self._world_size):
            if rank != self._rank:
                progress = read_progress(progress_path(self._folder, rank))
                self._peers.setdefault(rank, _Peer(progress=progress)).see(progress, elapsed)

    def _blame(self, timeout: float) -> Verdict:
        dead, absent, silent = [], [], []
        own = read_progress(progress_path(self._folder, self._rank))
        places = {} if own is None else {self._rank: own}
        for rank, peer in sorted(self._peers.items()):
            progress = peer.progress
            if progress is None or self._is_earlier(progress):
                absent.append(f"rank {rank} has not started: no sign of life since rank {self._rank} started")
            elif progress.is_dead() and progress.phase == Phase.ENDING:
                continue
            elif peer.unanswered < timeout / 2:  # it may be gone by now, ended by its own watchdog
                places[rank] = progress
            elif progress.is_dead():
                dead.append(f"{_name(rank, progress)} died {_doing(progress)}")
            else:
                ago = time.time() - progress.beat if progress.machine == machine_id() else peer.unanswered
                silent.append(
                    f"{_name(rank, progress)} hangs: it stopped answering {ago:.0f} s ago, {_doing(progress)}"
                )
        for found in (dead, absent, silent):
            if found:
                return Verdict(ranks=(), text=_joined(found))
        return _furthest_behind(places, timeout)

    def _is_earlier(self, progress: Progress) -> bool:
        """Whether the file is one that an earlier attempt at this run left."""
        slack = 0.0 if progress.machine == machine_id() else CLOCK_SLACK
        return progress.beat < self._started - slack

    def _end(self, verdict: Verdict, timeout: float) -> None:
        """Say why, and end this process and the loader workers that it started."""
        ours = self._rank in verdict.ranks
        if verdict.ranks and not ours:
            time.sleep(3 * self._interval)
            _say(f"rank {self._rank} ends: {verdict.text}")
        else:
            _say(
                f"{verdict.text}\n  ended by trainer.hang_timeout = {timeout:g} s; a step that needs longer needs a "
                "greater one, null waits for ever"
            )
        if ours:
            _say(f"what the threads of rank {self._rank} do:")
            faulthandler.dump_traceback(file=2, all_threads=True)
        _kill_children()
        os._exit(1)


def _furthest_behind(places: Mapping[int, Progress], timeout: float) -> Verdict:
    """The rank that the others wait for; of ranks that all stand at the same place no one is."""
    behind = min(progress.place for progress in places.values())
    ranks = tuple(rank for rank, progress in sorted(places.items()) if progress.place == behind)
    first = places[ranks[0]]
    since = f"no progress for {timeout:g} s, {_doing(first)}"
    if len(ranks) == len(places) > 1:
        return Verdict(ranks=ranks, text=f"all {len(ranks)} ranks hang: {since}")
    found = [_name(rank, places[rank]) for rank in ranks]
    waiting = "; the others wait for it" if len(places) > 1 and len(ranks) == 1 else ""
    return Verdict(ranks=ranks, text=f"{_joined(found)} hangs: {since}{waiting}")


def _name(rank: int, progress: Progress) -> str:
    return f"rank {rank} (process {progress.pid})"


def _doing(progress: Progress) -> str:
    where = "" if progress.phase == Phase.STARTING else f"in step {progress.step} "
    return f"{where}{_DOING[progress.phase]}"


def _joined(found: Sequence[str]) -> str:
    more = f"; and {len(found) - _NAMED} more ranks" if len(found) > _NAMED else ""
    return "; ".join(found[:_NAMED]) + more


def _marks(progress: Progress | None) -> tuple[int, int] | None:
    return None if progress is None else (progress.pid, progress.changes)


def _beats(progress: Progress | None) -> tuple[int, int] | None:
    return None if progress is None else (progress.pid, progress.beats)


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())  # not sys.stderr: the thread that hangs may hold its lock


def _kill_children() -> None:
    """A loader worker notices its parent's end only between two batches, and holds the run's lock until then."""
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
