"""How far an analysis is: a bar with its ETA on a terminal, elsewhere a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_transformer.analysis.subject import Advance

LINE_INTERVAL = 20.0
"""Seconds between two lines where no terminal shows a bar."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Gives a function to call after each of `total` passes; what it shows goes to standard error."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("passes, ETA"), TimeRemainingColumn())
    start = told = time.monotonic()
    done = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance() -> None:
            nonlocal done, told
            done += 1
            bar.advance(task)
            now = time.monotonic()
            if bar.disable and now - told >= LINE_INTERVAL:
                told = now
                left = (now - start) / done * max(total - done, 0)
                print(f"{what}: {done:,} of {total:,} passes, ETA {left:.0f} s", file=sys.stderr)

        yield advance
