"""The dashboard over 1,000 runs of 1,000 points: first page, change of view, memory, how soon a point shows."""

import json
import math
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from browsing import Dashboard, chromium, load, shown, took
from figures import Figure
from playwright.sync_api import Browser, Page

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


TABLE = "document.querySelectorAll('#runs-grid .ag-row').length > 5"
CURVES = "document.querySelectorAll('#curves-figure .scatterlayer .trace').length > 100"
PLOT = "document.querySelector('#curves-figure .js-plotly-plot')"


def middle(change: Callable[[int], float]) -> float:
    """The median of ROUNDS changes."""
    return statistics.median(change(place) for place in range(ROUNDS))


def redrawn(page: Page, do: Callable[[], object]) -> float:
    """Seconds until the figure of curves holds other data."""
    page.evaluate(f"window.seen = {PLOT}.data")
    return took(page, do, f"() => {PLOT}.data !== window.seen")


def table_views(page: Page, address: str) -> dict[str, float]:
    """Seconds of the first page, of a search in the table, and of the way from page to page."""
    first = took(page, lambda: page.goto(address), f"() => {TABLE}")

    def search(place: int) -> float:
        name = f"r00{place + 1}5"
        found = f"document.querySelector('#runs-grid .ag-row [col-id=run]')?.textContent.includes('{name}')"
        return took(page, lambda: page.locator("#runs-search").fill(name), f"() => {found}")

    searched = middle(search)
    page.locator("#runs-search").fill("")
    page.locator("#link-curves").click()  # once, so that the browser holds plotly
    shown(page, f"() => {CURVES}")
    ways = [
        (
            took(page, page.locator("#link-runs").click, f"() => {TABLE}"),
            took(page, page.locator("#link-curves").click, f"() => {CURVES}"),
        )
        for _ in range(ROUNDS)
    ]
    to_runs, to_curves = (statistics.median(seconds) for seconds in zip(*ways, strict=True))
    return {
        "first page": first, "search in the table": searched, "Curves to Runs": to_runs, "Runs to Curves": to_curves,
    }  # fmt: skip


def curve_views(page: Page, address: str) -> dict[str, float]:
    """Seconds of smoothing 200 curves anew, and of zooming in on a part of them, which is then drawn in full."""
    page.goto(f"{address}curves?metric=train/loss")
    shown(page, f"() => {CURVES}")
    page.wait_for_timeout(2_000)
    slider = page.locator("#curves-smooth-box [role=slider]")
    smoothed = middle(lambda place: redrawn(page, lambda: slider.press("Home" if place % 2 else "End")))

    def zoom(_: int) -> float:
        box = page.locator("#curves-figure .nsewdrag").bounding_box()
        assert box is not None
        ends = [box["x"] + share * box["width"] for share in (0.3, 0.8)]
        page.mouse.move(ends[0], box["y"] + box["height"] / 3)
        page.mouse.down()
        page.mouse.move(ends[1], box["y"] + box["height"] / 3, steps=3)
        return redrawn(page, page.mouse.up)

    return {"smoothing of 200 curves": smoothed, "zoom into 200 curves": middle(zoom)}


def new_point(page: Page, address: str, root: Path) -> float:
    """Seconds from a logged point to its being drawn, the longest of ROUNDS."""
    run = RunFolder(root / "gpt" / "r0000")
    page.goto(f"{address}curves?metric=train/loss&q=r0000")
    shown(page, "() => document.querySelectorAll('#curves-figure .scatterlayer .trace').length === 1")
    page.wait_for_timeout(2_000)

    def log(value: float) -> None:
        with run.metrics_file.open("a") as file:
            file.write(json.dumps({"step": 100_000 + value, "train/loss": value}) + "\n")

    values = [100 + place for place in range(ROUNDS)]
    return max(
        took(page, lambda value=value: log(value), f"() => {PLOT}.data[0].y.at(-1) === {value}") for value in values
    )


def seen(root: Path, browser: Browser, runs: int, points: int) -> list[Figure]:
    """Every number that is asked of the dashboard over these runs."""
    size = f"dashboard, {runs:,} runs x {points:,} points"
    write_runs(root, runs, points)
    served = Dashboard(root)
    try:
        served.settle()
        busy = load()
        seconds = table_views(browser.new_page(), served.address) | curve_views(browser.new_page(), served.address)
        point = new_point(browser.new_page(), served.address, root)
        return [
            *(
                Figure(f"{size}: {name}", value, "s", 2.0 if name == "first page" else 0.5, note=busy)
                for name, value in seconds.items()
            ),
            Figure(f"{size}: a new point is drawn, at the latest", point, "s", 3.0, note=busy),
            Figure(f"{size}: memory", served.megabytes(), "MB", 500.0),
        ]
    finally:
        served.close()


def measure() -> list[Figure]:
    """Every number that is asked of the dashboard, in Debian's Chromium; nothing where there is none."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        if browser is None:
            return []
        shapes = {"runs": (RUNS, POINTS), "long": (LONG, LONG_POINTS)}
        return [figure for name, shape in shapes.items() for figure in seen(Path(folder) / name, browser, *shape)]


if __name__ == "__main__":
    for figure in measure():
        print(f"{figure.name}: {figure.value:.3g} {figure.unit} (asked: {figure.bound:g})")
