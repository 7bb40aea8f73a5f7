"""report.html of a 64-cell sweep: its size, how long it takes to write, and to open in a headless browser."""

import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the folders of runs that the tests make

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.report import write_report
from lit_transformer.records.run_folder import RunFolder
from tests.compare.conftest import write_sweep

OPENED = 5
POINTS = 5_000


def measure() -> list[Figure]:
    """Eight heads x eight layers with curves of 5,000 points; the median of five openings."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = write_sweep(Path(folder) / "big", [1, 2, 4, 8, 16, 32, 64, 128], [1, 2, 3, 4, 5, 6, 7, 8], [0])
        losses = np.random.default_rng(0).normal(size=(64, POINTS)).tolist()
        for run, values in zip(sorted((sweep / "cells").iterdir()), losses, strict=True):
            rows = ({"step": step, "train/loss": loss, "val/loss": loss} for step, loss in enumerate(values))
            RunFolder(run).metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        page = sweep / "report.html"
        start = time.perf_counter()
        write_report(read_comparison(sweep), page)
        written = time.perf_counter() - start
        figures = [
            Figure("report of 64 cells", page.stat().st_size / 1e6, "MB", 8.0),
            Figure("report of 64 cells: read and write", written, "s"),
        ]
        return [*figures, *_opened(page)]


def _opened(page: Path) -> list[Figure]:
    """Seconds until every figure of the page is drawn; nothing where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return []
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for _ in range(OPENED):
            tab = browser.new_page(viewport={"width": 1400, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_function("document.querySelectorAll('#curves-1 .plot-container').length === 1")
            seconds.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return [Figure("report of 64 cells: opened in headless Chromium", statistics.median(seconds), "s", 2.0)]


if __name__ == "__main__":
    for found in measure():
        print(found)
