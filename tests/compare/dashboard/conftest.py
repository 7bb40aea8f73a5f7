"""Folders of runs for the dashboard, made with the writers of tests/compare, and a browser to look at them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.compare.conftest import write_run
from tests.compare.dashboard.site import Seen, look_at, serve


@pytest.fixture(scope="session")
def module_runs() -> Callable[[Path], Path]:
    """Six runs of three heads and two seeds below a folder, one of them failed."""

    def make(root: Path) -> Path:
        for place, (heads, seed) in enumerate((h, s) for h in (1, 2, 4) for s in (0, 1)):
            failed = (heads, seed) == (4, 1)
            status, error = ("failed", "RuntimeError: no") if failed else ("complete", None)
            write_run(root / "gpt" / f"r{place}", heads=heads, seed=seed, status=status, error=error)
        return root

    return make


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Seen]]:
    """Serves a folder and opens a page on it: `look(folder)`, then `.open(path, selector)`."""
    sites = []
    pages: list[Seen] = []

    def begin(root: Path, **settings: object) -> Seen:
        running = serve(root)
        site = next(running)
        sites.append(running)
        seen = look_at(browser, site, **settings)  # type: ignore[arg-type]
        pages.append(seen)
        return seen

    yield begin
    for seen in pages:
        seen.page.close()
    for running in sites:
        next(running, None)
