"""Folders of runs for the dashboard, made with the writers of tests/compare."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compare.conftest import write_run


@pytest.fixture(scope="session")
def module_runs() -> Callable[[Path], Path]:
    """Six runs of three heads and two seeds below a folder, one of them failed."""

    def make(root: Path) -> Path:
        for place, (heads, seed) in enumerate((h, s) for h in (1, 2, 4) for s in (0, 1)):
            failed = (heads, seed) == (4, 1)
            write_run(root / "gpt" / f"r{place}", heads=heads, seed=seed, status="failed" if failed else "complete", error="RuntimeError: no" if failed else None)
        return root

    return make
