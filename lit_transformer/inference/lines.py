"""Texts that a verb is given, line by line, and its answers in the same order, with progress on standard error."""

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_transformer.config.errors import UserError
from lit_transformer.training.resume import tell

CHUNK = 500
"""Lines that are worked on together, in batches of like lengths: an interrupt loses the answers of so many at most."""

BAR_DELAY, LINE_INTERVAL = 1.0, 10.0
"""Seconds before a terminal shows a bar, and between lines of progress elsewhere."""

Answer = TypeVar("Answer")
Report = Callable[[int, int], None]
"""Told how many of how many texts are done."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Texts that come one after another."""

    texts: Iterator[str]
    total: int | None = None
    """How many there are, where that is known beforehand."""
    live: bool = False
    """A person types them, and waits for the answer to each."""


def given_lines(texts: Sequence[str] | None, file: Path | None) -> Lines:
    """Those of the arguments, else of a file, else of standard input; raises UserError, also while they are read.

    A line ends with LF alone, as in the data that runs are trained on; a CR before it is dropped.
    """
    if texts and file is not None:
        raise UserError(f"--file\n  got      {file} and texts too\n  fix      give one of them")
    if texts:
        return Lines(texts=iter(texts), total=len(texts))
    if file is None:
        live = sys.stdin.isatty()
        if live:
            tell("reading lines from the terminal; Ctrl-D ends them")
        return Lines(texts=_decoded(sys.stdin.buffer, "standard input"), live=live)
    try:
        total = _count(file) if file.is_file() else None  # what is no file, such as a pipe, is read once
        return Lines(texts=_decoded(file.open("rb"), str(file)), total=total)
    except OSError as error:
        raise UserError(f"--file\n  got      {file}, which cannot be read: {error.strerror}") from None


def answered(
    lines: Lines, what: str, answer: Callable[[Sequence[str], Report], Sequence[Answer]]
) -> Iterator[tuple[str, Answer]]:
    """Each text with its answer, in order; `answer` works on CHUNK texts at once, and `what` names it in progress."""
    shown, done = _Shown(what, lines.total), 0
    while chunk := list(islice(lines.texts, 1 if lines.live else CHUNK)):
        with shown.working():
            found = answer(chunk, lambda count, _, before=done: shown.update(before + count))  # type: ignore[misc]
        done += len(chunk)
        yield from zip(chunk, found, strict=True)


class _Shown:
    """How many lines are done: a bar with ETA on a terminal, elsewhere a line now and then."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._start = self._told = time.monotonic()
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), TimeRemainingColumn())
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=total, visible=False)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Shows the bar inside; outside it is gone, so that answers can be written to the same terminal."""
        self._bar.start()
        try:
            yield
        finally:
            self._bar.stop()

    def update(self, done: int) -> None:
        """Tell how many lines are done."""
        now = time.monotonic()
        self._bar.update(self._task, completed=done, visible=now - self._start > BAR_DELAY)
        if not self._bar.disable or now - self._told < LINE_INTERVAL:
            return
        self._told, elapsed = now, now - self._start
        if self._total is None:
            tell(f"{self._what}: {done:,} lines, {done / elapsed:.3g} lines/s")
        else:
            tell(f"{self._what}: {done:,} of {self._total:,} lines, ETA {elapsed / done * (self._total - done):.0f} s")


def _decoded(opened: BinaryIO, name: str) -> Iterator[str]:
    """Lines of a file without their ends and a byte order mark; raises UserError with the line that is not UTF-8."""
    with opened:
        for number, line in enumerate(opened, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{name}:{number}: not UTF-8 at byte {error.start} of the line (0x{line[error.start]:02x})\n"
                    "  fix      convert it, for example: iconv -f latin1 -t utf-8"
                ) from None
            yield text.removesuffix("\n").removesuffix("\r")


def _count(file: Path) -> int:
    """Lines of a file, the last of which need not end."""
    total, last = 0, b"\n"
    with file.open("rb") as opened:
        while part := opened.read(io.DEFAULT_BUFFER_SIZE << 4):
            total, last = total + part.count(b"\n"), part[-1:]
    return total + (last != b"\n")
