"""report.html of a 64-cell sweep: its size, how long it takes to write, and to open in a headless browser."""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from browsing import chromium, load, shown
from figures import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the folders of runs that the tests make

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.report import write_report
from lit_transformer.records.run_folder import RunFolder
from tests.compare.conftest import write_sweep

OPENED = 5
POINTS = 5_000
IN_VIEW = """() => [...document.querySelectorAll(".plot")].every((plot) => {
  const box = plot.getBoundingClientRect();
  return box.bottom < 0 || box.top > innerHeight || plot.querySelector(".plot-container");
})"""
"""Whether each figure of which a part is in view is drawn."""


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
    """Seconds until the page shows a figure, is open, and until all is drawn for who scrolls through it.

    Open: every figure that is in view is drawn, and a press on a heading has sorted the table. All drawn: as a person
    would see it who scrolls on as soon as what is in view is drawn.
    """
    seconds: list[tuple[float, ...]] = []
    with chromium() as browser:
        if browser is None:
            return []
        for _ in range(OPENED):
            tab = browser.new_page(viewport={"width": 1400, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri())
            shown(tab, "() => document.querySelector('.plot-container')")
            first = time.perf_counter() - start
            shown(tab, IN_VIEW)
            tab.evaluate("document.querySelector('#results th button').click()")
            shown(tab, "() => document.querySelector('#results th[aria-sort=ascending]')")
            opened = time.perf_counter() - start
            begun = time.perf_counter()
            for plot in tab.locator(".plot").all():
                plot.scroll_into_view_if_needed()
                shown(tab, IN_VIEW)
            seconds.append((first, opened, time.perf_counter() - begun))
            assert tab.locator(".plot .plot-container").count() == tab.locator(".plot").count()
            tab.close()
    first, opened, scrolled = (statistics.median(each) for each in zip(*seconds, strict=True))
    return [
        Figure("report of 64 cells: first figure drawn", first, "s", note=load()),
        Figure("report of 64 cells: opened in headless Chromium", opened, "s", 2.0, note=load()),
        Figure("report of 64 cells: all figures drawn by scrolling, besides", scrolled, "s", note=load()),
    ]


if __name__ == "__main__":
    for found in measure():
        print(found)
