"""How far preparing is, on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from lit_transformer.data.prepare import Progress as Report


@contextmanager
def shown_progress(delay: float = 1.0) -> Iterator[Report]:
    """A progress callback: a bar with ETA on a terminal (after `delay` seconds), a line every 10 s elsewhere."""
    start = shown = time.monotonic()
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("preparing the data", total=None, visible=False)

        def report(done: int, total: int, unit: str) -> None:
            nonlocal shown
            now = time.monotonic()
            bar.update(task, completed=done, total=total, visible=now - start > delay)
            if bar.disable and now - shown > 10:
                shown = now
                left = (now - start) / max(done, 1) * (total - done)
                print(
                    f"preparing the data: {done:,} of {total:,} {unit}, ETA {left:.0f} s", file=sys.stderr, flush=True
                )

        yield report
