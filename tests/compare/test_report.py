"""The report's page: self-contained, escaped and small; then as a person sees it, in a headless browser."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from plotly.offline import get_plotlyjs

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.curves import smooth
from lit_transformer.compare.judging import judge
from lit_transformer.compare.report import report_html, write_report
from lit_transformer.compare.style import STANDING_WORDS
from lit_transformer.records.run_folder import RunFolder
from tests.compare.hostile import XSS


def page_data(page: str) -> dict[str, Any]:
    """The figures of a page by section, as its scripts read them."""
    found = re.findall(
        r'<script type="application/json" id="data-(\w+)" data-count="(\d+)">(.*?)</script>', page, re.DOTALL
    )
    data = {section: json.loads(figures) for section, _, figures in found}
    assert [len(figures) for figures in data.values()] == [int(count) for _, count, _ in found]
    return data


def test_page_inlines_plotly_once_and_asks_nothing_of_anybody(nine: Path) -> None:
    page = report_html(read_comparison(nine))
    script = get_plotlyjs()
    assert page.count(script) == 1
    own = page.replace(script, "")
    assert not re.search(r"https?://|\bsrc=|@import|url\(", own) and "default-src 'none'" in own
    assert "no ranking between close cells is claimed" in own


def test_report_of_64_cells_with_long_curves_is_at_most_8_mb(tmp_path: Path, sweep_writer: Callable[..., Path]) -> None:
    sweep = sweep_writer(tmp_path / "big", [1, 2, 4, 8, 16, 32, 64, 128], [1, 2, 3, 4, 5, 6, 7, 8], [0])
    values = np.random.default_rng(0).normal(size=(64, 5000)).tolist()
    for run, losses in zip(sorted((sweep / "cells").iterdir()), values, strict=True):
        rows = ({"step": step, "train/loss": loss, "val/loss": loss} for step, loss in enumerate(losses))
        RunFolder(run).metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = report_html(read_comparison(sweep))
    assert len(page.encode()) <= 8_000_000
    assert max(len(trace["x"]) for figure in page_data(page)["curves"] for trace in figure["data"]) <= 400


def test_seeds_are_named_in_the_verdict_and_the_table(seeded: Path) -> None:
    page = report_html(read_comparison(seeded))
    assert "over 2 seeds" in page and "One seed" not in page and "±" in page


def test_third_setting_gets_a_map_for_each_pair(
    tmp_path: Path, run_writer: Callable[..., RunFolder], plan_writer: Callable[..., None]
) -> None:
    keys = ["optimizer.lr", "model.num_layers", "model.num_heads"]
    cells = []
    for index, (lr, layers, heads) in enumerate(np.ndindex(2, 2, 2)):
        values = {"optimizer.lr": 10.0**-lr, "model.num_layers": layers + 1, "model.num_heads": heads + 1}
        cells.append({"cell": f"c{index}", "values": values, "problem": None})
        run_writer(tmp_path / "s" / "cells" / f"c{index}", heads=heads + 1, layers=layers + 1)
    plan_writer(tmp_path / "s", {key: [1] for key in keys}, cells)
    shown = list(
        dict.fromkeys(item["axes"] for item in page_data(report_html(read_comparison(tmp_path / "s")))["maps"])
    )
    assert shown[0] == "model.num_layers over model.num_heads" and len(shown) == 3


@dataclass
class Seen:
    """What a page did while it was looked at."""

    page: Page
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def scroll_through(page: Page) -> None:
    """Bring every figure into view, where it must be drawn, then go back to the top."""
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator(".plot-container").wait_for()
    page.evaluate("scrollTo(0, 0)")


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Seen]]:
    """Opens a folder's report with the network cut off, and keeps what the page asked for and said."""
    pages: list[Page] = []

    def open_report(
        directory: Path, width: int = 1400, height: int = 900, scheme: str = "light", scrolled: bool = True
    ) -> Seen:
        file = directory / "report.html"
        write_report(read_comparison(directory), file)
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        page.set_default_timeout(120_000)  # a guard: two suites at once on two cores are slow
        pages.append(page)
        seen = Seen(page)
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.messages.append(str(error)))
        page.on("dialog", lambda dialog: (seen.messages.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.route(re.compile("^(?!file:|data:|blob:)"), lambda route: route.abort())
        page.goto(file.as_uri())
        if scrolled:
            scroll_through(page)
        return seen

    yield open_report
    for page in pages:
        page.close()


def quiet(seen: Seen) -> None:
    """Nothing was said but by the software that draws WebGL where there is no GPU, and nothing was asked for."""
    assert [message for message in seen.messages if not message.startswith("[.WebGL-")] == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in seen.requests if url.startswith("file:")]) == 1


def texts(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#map .heatmap-label", "nodes => nodes.map(node => node.textContent)")
    return sorted(text for text in found if text)


def column(page: Page, index: int) -> list[str]:
    return page.locator(f"#results tbody tr td:nth-child({index})").all_inner_texts()


def test_nine_cells_with_the_numbers_on_disk_above_the_fold(nine: Path, look: Callable[..., Seen]) -> None:
    seen = look(nine)
    losses = [json.loads(file.read_text())["metrics"]["val/loss"] for file in nine.glob("cells/*/result.json")]
    assert texts(seen.page) == sorted(f"{loss:.3f}" for loss in losses) and len(losses) == 9
    box = seen.page.locator("#map").bounding_box()
    assert box is not None and box["y"] + box["height"] < 900
    assert seen.page.locator("#results tbody tr").count() == 9 and seen.page.locator("#runs details").count() == 9
    quiet(seen)


def undrawn(page: Page) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        ".plot", "nodes => nodes.filter(node => !node.querySelector('.plot-container')).map(node => node.id)"
    )
    return found


def test_figures_are_drawn_where_one_looks_and_nothing_moves(nine: Path, look: Callable[..., Seen]) -> None:
    seen = look(nine, height=500, scrolled=False)
    seen.page.locator("#scatter-0 .plot-container").wait_for()
    height = seen.page.evaluate("document.documentElement.scrollHeight")
    assert {"parallel-0", "curves-0", "curves-1", "scatter-2"} <= {*undrawn(seen.page)}
    seen.page.get_by_text("none", exact=True).click()  # nothing to redraw yet, but what is drawn later follows it
    scroll_through(seen.page)
    assert undrawn(seen.page) == [] and seen.page.evaluate("document.documentElement.scrollHeight") == height
    shown = seen.page.evaluate("document.getElementById('curves-0').data.filter(trace => trace.meta)")
    assert {trace["meta"]["level"] for trace in shown} == {0} and len(shown) == 9
    quiet(seen)


def test_printing_draws_what_was_not_looked_at(nine: Path, look: Callable[..., Seen]) -> None:
    seen = look(nine, height=500, scrolled=False)
    seen.page.locator("#scatter-0 .plot-container").wait_for()
    assert undrawn(seen.page)
    assert len(seen.page.pdf()) > 10_000 and undrawn(seen.page) == []
    quiet(seen)


def test_menu_of_metrics_redraws_the_map(nine: Path, look: Callable[..., Seen]) -> None:
    seen = look(nine)
    seen.page.select_option("#map-metric", "val/accuracy")
    assert texts(seen.page) == sorted([f"{0.3 + 0.01 * layers:.3f}" for layers in (1, 2, 4)] * 3)
    seen.page.select_option("#map-metric", "parameters")
    assert texts(seen.page) == sorted(["60 k", "110 k", "210 k"] * 3)
    quiet(seen)


def test_smoothing_switches_what_is_drawn(nine: Path, look: Callable[..., Seen]) -> None:
    seen = look(nine)
    name = "cells/num_heads=1,num_layers=1"
    rows = RunFolder(nine / name).read_metrics()
    raw = np.array([row["train/loss"] for row in rows], dtype=float)
    for button, level in (("none", 0.0), ("EMA 0.9", 0.9), ("EMA 0.6", 0.6)):
        seen.page.get_by_text(button, exact=True).click()
        drawn = seen.page.evaluate(
            "name => document.getElementById('curves-0')._fullData"
            ".filter(trace => trace.name === name && trace.visible === true && trace.opacity === 1)"
            ".map(trace => [...trace.y])",
            name,
        )
        assert len(drawn) == 1
        np.testing.assert_allclose(drawn[0], smooth(raw, level), rtol=1e-5)
    quiet(seen)


def test_headings_sort_both_ways_with_absent_numbers_last(mixed: Path, look: Callable[..., Seen]) -> None:
    seen = look(mixed)
    first = column(seen.page, 3)
    measured = [text for text in first if text]
    seen.page.get_by_role("button", name="val/loss").click()
    assert column(seen.page, 3)[: len(measured)] == sorted(measured)
    seen.page.get_by_role("button", name="val/loss").click()
    assert column(seen.page, 3)[: len(measured)] == sorted(measured, reverse=True)
    assert column(seen.page, 3)[len(measured) :] == [""] * (len(first) - len(measured))
    assert seen.page.locator("th[aria-sort=descending]").count() == 1
    quiet(seen)


def test_states_are_named_on_the_map_and_the_config_unfolds(mixed: Path, look: Callable[..., Seen]) -> None:
    seen = look(mixed)
    assert {"failed", "diverged", "impossible", "missing"} <= set(texts(seen.page))
    details = seen.page.locator("#runs details").last
    details.locator("summary").click()
    assert details.locator("tr.swept").count() == 2 and "optimizer.lr" in details.inner_text()
    quiet(seen)


def test_phone_and_dark_page_fit_their_width(seeded: Path, look: Callable[..., Seen]) -> None:
    seen = look(seeded, width=390, height=844, scheme="dark")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    channels = re.findall(r"\d+", seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert max(map(int, channels[:3])) < 60
    quiet(seen)


def test_hostile_names_values_keys_and_errors_never_become_markup(
    tmp_path: Path,
    run_writer: Callable[..., RunFolder],
    plan_writer: Callable[..., None],
    look: Callable[..., Seen],
) -> None:
    cells: list[dict[str, object]] = []
    key = "model.<img src=x onerror=alert(1)>"
    for index, text in enumerate(XSS):
        name = text.replace("/", "_").replace("\x00", "0") + str(index)
        status = "failed" if index % 2 else "complete"
        run = run_writer(tmp_path / "s" / "cells" / name, status=status, error=text, steps=200, **{text: text})
        result = json.loads(run.result_file.read_text())
        result["metrics"] = {"val/loss": 2.0 + index, f"val/{text}": 1.0}
        run.result_file.write_text(json.dumps(result))
        cells.append({"cell": name, "values": {key: text, "other": index % 3}, "problem": None})
    cells.append({"cell": "last", "values": {key: "z", "other": 1}, "problem": XSS[0]})
    plan_writer(tmp_path / "s", {key: [], "other": []}, cells, name=XSS[1])
    stop = {"rule": XSS[0], "metric": "val/loss", "band": 1, "value": 2.0, "threshold": 1.0, "rank": 1, "of": 2}
    stops = [json.dumps({**stop, "cell": cell["cell"]}) + "\n" for cell in cells[:4]]
    (tmp_path / "s" / "stops.jsonl").write_text("".join(stops))
    seen = look(tmp_path / "s")
    for metric in seen.page.locator("#map-metric option").all_inner_texts()[:4]:
        seen.page.select_option("#map-metric", metric)
    seen.page.locator("#runs summary").first.click()
    seen.page.mouse.move(300, 400)
    assert seen.page.locator("img, svg a, #runs a, #runs b, table a").count() == 0
    assert seen.page.locator("h1").inner_text() == XSS[1]
    assert XSS[0] in seen.page.locator("#map .xtick text").all_text_contents()
    quiet(seen)


def test_lines_of_parallel_coordinates_bars_and_intervals_are_those_of_the_comparison(
    tmp_path: Path, sweep_writer: Callable[..., Path], look: Callable[..., Seen]
) -> None:
    seen = look(sweep_writer(tmp_path / "s", [1, 2, 4], [1, 2], [0, 1, 2], {(1, 1, 0): "failed"}))
    comparison = read_comparison(tmp_path / "s")
    judged = judge(comparison)
    lines = seen.page.evaluate("[...document.getElementById('parallel-0')._fullData[0].line.color]")
    assert lines == pytest.approx(judged.cells["mean"].tolist())
    seen.page.locator("#parallel-0 .axis-title").first.wait_for()
    titles = seen.page.locator("#parallel-0 .axis-title").all_text_contents()
    assert titles == ["num_heads", "num_layers", "parameters", "seconds", "val/loss"]
    assert column(seen.page, 7) == [STANDING_WORDS[standing] for standing in judged.cells["standing"]]
    assert seen.page.locator("#findings li").count() == 3 and seen.page.locator("#stops-card").count() == 0
    seen.page.select_option("#map-metric", "state")
    assert "1 failed2 complete" in texts(seen.page)
    quiet(seen)


def test_folder_of_runs_without_a_sweep_shows_curves_and_table(
    tmp_path: Path, run_writer: Callable[..., RunFolder], look: Callable[..., Seen]
) -> None:
    run_writer(tmp_path / "r" / "一", heads=1)
    run_writer(tmp_path / "r" / "二", heads=1)
    seen = look(tmp_path / "r")
    assert seen.page.locator("#map").count() == 0 and seen.page.locator("#curves-1 .plot-container").count() == 1
    assert "一" in "".join(column(seen.page, 1))
    quiet(seen)
