"""The dashboard over 1,000 runs of 1,000 points: first page, change of view, memory, how soon a point shows."""

import json
import math
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from figures import Figure
from playwright.sync_api import Page, sync_playwright

from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RunFolder

RUNS, POINTS = 1_000, 1_000
LONG, LONG_POINTS = 200, 5_000
ROUNDS = 5


def write_runs(root: Path, runs: int, points: int) -> None:
    """Complete runs over heads, layers and seeds, with a config as long as a real one."""
    chance = random.Random(0)
    filler = {f"part{part}": {f"key{key}": key * 0.5 for key in range(20)} for part in range(6)}
    for place in range(runs):
        heads, layers, seed = 2 ** (place % 4), 1 + place // 4 % 4, place // 16
        run = RunFolder(root / "gpt" / f"r{place:04d}")
        model = {"kind": "gpt", "num_heads": heads, "num_layers": layers, "d_model": 64}
        run.freeze({"experiment": "gpt", "model": model, "seed": seed, **filler}, {}, {})
        losses = [2 + 0.1 / layers + 2 * math.exp(-point / 100) + chance.gauss(0, 0.05) for point in range(points)]
        rows = [{"step": 10 * point, "train/loss": loss, "lr": 1e-3} for point, loss in enumerate(losses, 1)]
        for row in rows[19::20]:
            row["val/loss"] = row["train/loss"] + 0.1
        run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        clocked = ({"step": 10 * point, "seconds": 0.1 * point, "memory_bytes": 5e8} for point in range(1, points + 1))
        run.system_file.write_text("".join(json.dumps(row) + "\n" for row in clocked))
        write_json(
            run.result_file,
            {
                "version": 1,
                "status": "complete",
                "metrics": {"val/loss": losses[-1] + 0.1},
                "parameters": 10_000 * layers,
                "flops": 1e9 * layers,
                "tokens": 2048 * points,
                "steps": 10 * points,
                "seconds": 0.1 * points,
            },
        )


def timed(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


class Dashboard:
    """`lit-transformer dashboard` in a process of its own."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "lit_transformer", "dashboard", str(root), "--port", "18050"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def settle(self) -> None:
        """Wait until it has read the curves and does nothing more."""
        process = psutil.Process(self._process.pid)
        while process.cpu_percent(1.0) > 10:
            pass

    def megabytes(self) -> float:
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def drawn(page: Page, script: str) -> None:
    page.wait_for_function(script, timeout=120_000)


def views(page: Page, address: str) -> dict[str, float]:
    """Seconds of the first page and, at the median, of changes of view."""
    rows = "() => document.querySelectorAll('#runs-grid .ag-row').length > 5"
    first = timed(lambda: (page.goto(address), drawn(page, rows)))

    def search(text: str) -> None:
        page.locator("#runs-search").fill(text)
        drawn(page, f"() => document.querySelector('#runs-grid .ag-row [col-id=run]')?.textContent.includes('{text}')")

    table = sorted(timed(lambda n=n: search(f"r0{n}50")) for n in range(1, 1 + ROUNDS))[ROUNDS // 2]
    page.goto(f"{address}curves?metric=train/loss")
    drawn(page, "() => document.querySelectorAll('#curves-figure .scatterlayer .trace').length > 100")
    page.wait_for_timeout(2_000)

    def smooth(place: int) -> None:
        page.evaluate("window.seen = document.querySelector('#curves-figure .js-plotly-plot').data")
        page.locator("#curves-smooth-box [role=slider]").press("End" if place % 2 else "Home")
        drawn(page, "() => document.querySelector('#curves-figure .js-plotly-plot').data !== window.seen")

    curves = sorted(timed(lambda n=n: smooth(n)) for n in range(1, 1 + ROUNDS))[ROUNDS // 2]
    return {"first page": first, "search in the table": table, "smoothing of 200 curves": curves}


def new_point(page: Page, address: str, root: Path) -> float:
    """Seconds from a logged point to its being drawn."""
    run = RunFolder(root / "gpt" / "r0000")
    page.goto(f"{address}curves?metric=train/loss&q=r0000")
    drawn(page, "() => document.querySelectorAll('#curves-figure .scatterlayer .trace').length === 1")
    page.wait_for_timeout(2_000)
    times = []
    for place in range(1, 1 + ROUNDS):
        value = 100.0 + place
        with run.metrics_file.open("a") as file:
            file.write(json.dumps({"step": 100_000 + place, "train/loss": value}) + "\n")
        shown = f"() => document.querySelector('#curves-figure .js-plotly-plot').data[0].y.at(-1) === {value}"
        times.append(timed(lambda shown=shown: drawn(page, shown)))
    return max(times)


def measure() -> list[Figure]:
    """Every number that is asked of the dashboard, in Debian's Chromium on this machine."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root, long = Path(folder) / "runs", Path(folder) / "long"
        write_runs(root, RUNS, POINTS)
        write_runs(long, LONG, LONG_POINTS)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        size = f"{RUNS:,} runs x {POINTS:,} points"
        served = Dashboard(root)
        try:
            served.settle()
            seconds = views(browser.new_page(), served.address)
            point = new_point(browser.new_page(), served.address, root)
            memory = served.megabytes()
        finally:
            served.close()
        served = Dashboard(long)
        try:
            served.settle()
            many = views(browser.new_page(), served.address)["smoothing of 200 curves"]
        finally:
            served.close()
        browser.close()
    return [
        *(
            Figure(f"dashboard, {size}: {name}", value, "s", 2.0 if name == "first page" else 0.5)
            for name, value in seconds.items()
        ),
        Figure(f"dashboard, {size}: a new point is drawn, at the latest", point, "s", 3.0),
        Figure(f"dashboard, {size}: memory", memory, "MB", 500.0),
        Figure(f"dashboard, {LONG} runs x {LONG_POINTS:,} points: smoothing of 200 curves", many, "s", 0.5),
    ]


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name}: {figure.value:.3g} {figure.unit} (asked: {figure.bound:g})")
