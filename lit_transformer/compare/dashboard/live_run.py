"""One run as it is on disk now, read again only where a file of it changed."""

import hashlib
import math
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from lit_transformer.compare.dashboard.series import Series
from lit_transformer.compare.dashboard.tail import LogRow, Tail
from lit_transformer.compare.plain import clean, number
from lit_transformer.compare.read import Row, row_of
from lit_transformer.records.locks import is_locked
from lit_transformer.records.run_folder import RunFolder

Mark = tuple[int, int, int] | None
RECENT = 20
"""Rows of system.jsonl whose speed says when a run will end: the first ones are slower than the rest."""


def run_id(name: str) -> str:
    """The id under which pages ask for a run: a digest, which leads nowhere on a disk."""
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()


def name_of(path: str) -> str:
    """A path as a name that can be shown; two paths have two names, though neither can be decoded."""
    shown = clean(path)
    return shown if shown == path else f"{shown} ({run_id(path)})"


def mark_of(path: str) -> Mark:
    """What changes with a file's content; None where there is no regular file. A link is none: it may lead anywhere."""
    try:
        state = os.lstat(path)
    except OSError:
        return None
    return (state.st_mtime_ns, state.st_size, state.st_ino) if stat.S_ISREG(state.st_mode) else None


class LiveRun:
    """A run folder's row, its curves and what it needs of the machine."""

    def __init__(self, root: Path, run: RunFolder) -> None:
        self.root, self.run = root, run
        self.lock = threading.Lock()
        self.name = name_of(run.path.relative_to(root).as_posix())
        self.id = run_id(self.name)
        self.version = 0
        """Of the index, when this run changed last."""
        self.row = Row(run=self.name, status="damaged")
        self._files = [str(run.config_file), str(run.result_file), str(run.metrics_file), str(run.system_file)]
        self._lock_file = run.path / ".lock"
        self._marks: list[Mark] | None = None
        self._locked = False
        self._config: dict[str, object] = {}
        self._result: dict[str, object] = {}
        self._series: Series | None = None
        self._system: Series | None = None
        self._tails = Tail(run.metrics_file), Tail(run.system_file)

    def look(self) -> bool:
        """Whether the run changed since the last look; its row is then new."""
        marks = [mark_of(file) for file in self._files]
        locked = marks[1] is None and is_locked(self._lock_file)
        old = self._marks
        if old == marks and self._locked == locked:
            return False
        with self.lock:
            if old is None or marks[0] != old[0]:
                self._config = self.run.read_config() if marks[0] else {}
            if old is None or marks[1] != old[1]:
                self._result = self.run.read_result() if marks[1] else {}
            self._marks, self._locked = marks, locked
            if self._series is not None or not self._result:
                self._follow()
            self.row = self._new_row()
        return True

    def _new_row(self) -> Row:
        try:
            row = row_of(self.root, self.run, self._config, self._result, self._newest, self._last_system)
            return replace(row, run=self.name)
        except (OSError, ValueError, TypeError, RecursionError) as error:  # whatever it holds, it hides no other run
            return Row(run=self.name, status="damaged", error=f"cannot be read: {type(error).__name__}: {error}")

    def _newest(self) -> list[LogRow]:
        return [dict(self._series.newest())] if self._series else []

    def _last_system(self) -> list[LogRow]:
        if self._system is None:
            return []
        last: LogRow = dict(self._system.newest())
        steps, memory = self._system.curve("memory_bytes")
        peak: LogRow = {"memory_bytes": float(memory[np.isfinite(memory)].max(initial=0.0))}
        return [peak, {**last, "step": int(steps[-1]) if len(steps) else None}]

    def _follow(self) -> None:
        """Read on where the logs were left."""
        for place, tail in enumerate(self._tails):
            rows, anew = tail.read()
            held = self._series if place == 0 else self._system
            if held is None or anew:
                held = Series()
                if place == 0:
                    self._series = held
                else:
                    self._system = held
            held.add(rows)

    def series(self) -> Series:
        """The run's metrics, read at the first request."""
        with self.lock:
            if self._series is None:
                self._follow()
            assert self._series is not None
            return self._series

    def system(self) -> Series:
        """What the run needed of the machine: seconds, tokens_per_second, mfu, memory_bytes over steps."""
        self.series()
        assert self._system is not None
        return self._system

    @property
    def size(self) -> int:
        """Bytes of curves held."""
        return sum(held.size for held in (self._series, self._system) if held is not None)

    def forget(self) -> None:
        """Give the curves' memory back; they are read anew when asked for."""
        with self.lock:
            if self._result:
                self._series = self._system = None
                self._tails = Tail(self.run.metrics_file), Tail(self.run.system_file)

    def config(self) -> dict[str, object]:
        """The frozen config, nested."""
        return self._config

    def eta(self) -> float | None:
        """Seconds until the run's last step at its newest speed; None where it is not running or has no known end."""
        if self.row.status != "running" or self._system is None:
            return None
        steps, seconds = self._system.curve("seconds")
        trainer = self._config.get("trainer")
        trainer = trainer if isinstance(trainer, dict) else {}
        last = self._system.newest().get("total_steps", number(trainer.get("max_steps")))
        if len(steps) < 2 or not math.isfinite(last):
            return None
        first = max(0, len(steps) - RECENT)
        gone, taken = float(steps[-1] - steps[first]), float(seconds[-1] - seconds[first])
        if not (gone > 0 and taken > 0):
            return None
        return max(0.0, (last - float(steps[-1])) * taken / gone)
