"""Debian's Chromium, driven as a person does."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""WebGL in software, which parallel coordinates need."""


def chromium() -> Iterator[Browser | None]:
    """A browser while the iterator is held; None where there is none.

    One at a time in a process: Playwright's event loop runs in the thread that began it, and refuses a second.
    """
    path = CHROMIUM if CHROMIUM.exists() else shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", *WEBGL])
