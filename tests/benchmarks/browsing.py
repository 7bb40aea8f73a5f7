"""Debian's Chromium for benchmarks of pages, a dashboard in a process of its own, and how long something takes."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

GUARD = 60.0
"""Seconds after which a wait is given up and counts as that long."""


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """A headless browser; None where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        print("no Chromium here: pages are not measured (Debian: apt-get install chromium)", file=sys.stderr)
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


def shown(page: Page, script: str) -> None:
    """Wait until `script`, a function of the page, is true, at most GUARD seconds."""
    try:
        page.wait_for_function(script, timeout=GUARD * 1000)
    except TimeoutError:
        print(f"not within {GUARD:g} s: {script}", file=sys.stderr)


def took(page: Page, do: Callable[[], object], script: str) -> float:
    """Seconds from before `do` until `script`, a function of the page, is true."""
    start = time.perf_counter()
    do()
    shown(page, script)
    return time.perf_counter() - start


def load() -> str:
    """How busy the machine is, which every figure of a page depends on."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


class Dashboard:
    """`lit-transformer dashboard` in a process of its own."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "lit_transformer", "dashboard", str(root), "--port", "18050"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            raise RuntimeError(f"the dashboard ended with status {self._process.wait()}")
        self.process = psutil.Process(self._process.pid)

    def settle(self) -> None:
        """Wait until it has read the curves and does nothing more, at most GUARD seconds."""
        end = time.monotonic() + GUARD
        while self.process.cpu_percent(1.0) > 10 and time.monotonic() < end:
            pass

    def megabytes(self) -> float:
        return float(self.process.memory_info().rss) / 1e6

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
