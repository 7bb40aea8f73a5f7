"""Labels, contrast and the order of the Tab key on every page and in the report, as a browser draws them."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page
from plotly.colors import sample_colorscale

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.compare.figures.states import COMPLETE
from lit_transformer.compare.heatmap import DARK_SHARE, INKS, OTHER_STATE, STATE_COLOURS
from lit_transformer.compare.report import write_report
from lit_transformer.records.run_folder import RunFolder
from tests.access import ENOUGH, contrast, faint, stops_of, texts_of, violations, wrong_stops
from tests.compare.conftest import write_sweep
from tests.compare.dashboard.site import Seen, Site, look_at, serve
from tests.compare.dashboard.test_pages import write_samples
from tests.compare.test_report import scroll_through

PAGES = {
    "runs": ("/", "#runs-grid .ag-row"),
    "curves": ("/curves", "#curves-figure .scatterlayer .trace"),
    "sweep": ("/sweep", "#sweep-stops .main-svg"),
    "compare": (f"/compare?runs={run_id('gpt/r0')}~{run_id('gpt/r2')}", "#compare-samples .main-svg"),
    "run": (f"/run?id={run_id('gpt/r0')}", "#run-samples .main-svg"),
}
STOP = {"rule": "hyperband", "metric": "val/loss", "band": 2, "value": 3.4, "threshold": 3.2, "rank": 5, "of": 6}


def hexed(colour: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], dtype=float)


def stopped_sweep(folder: Path) -> Path:
    """A sweep with a cell in each state and a trial that was stopped early."""
    special = {(4, 4, 1): "failed", (4, 2, 1): "running", (4, 1, 1): "diverged", (2, 1, 0): "impossible"}
    sweep = write_sweep(folder, [1, 2, 4], [1, 2, 4], [0, 1], {**special, (2, 1, 1): "impossible", (1, 4, 0): "pruned"})
    cell = "num_heads=1,num_layers=4,seed=0"
    (sweep / "stops.jsonl").write_text(json.dumps({**STOP, "cell": cell}) + "\n")
    return sweep


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, module_runs: Callable[[Path], Path]) -> Path:
    """A sweep, runs with samples, a log and an error."""
    root = module_runs(tmp_path_factory.mktemp("access") / "runs")
    stopped_sweep(root / "sweeps" / "demo")
    RunFolder(root / "gpt" / "r0").log_file.write_text("one line\n")
    for name in ("r0", "r2"):
        write_samples(root / "gpt" / name, [100, 200], 10)
    return root


@pytest.fixture(scope="module")
def site(everything: Path) -> Iterator[Site]:
    yield from serve(everything)


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Seen]]:
    opened: list[Seen] = []

    def begin(name: str, width: int = 1400, scheme: str = "light") -> Seen:
        seen = look_at(browser, site, width=width, scheme=scheme)
        opened.append(seen)
        seen.open(*PAGES[name])
        if name != "curves":
            for part in (".ag-header-viewport .ag-header-cell", ".ag-center-cols-viewport .ag-cell"):
                seen.page.wait_for_selector(part, state="attached")  # rows come before their cells
        settled(seen.page)
        return seen

    yield begin
    for seen in opened:
        seen.page.close()


def settled(page: Page) -> None:
    """Wait until nothing has been added to the page for half a second."""
    page.evaluate(
        """() => new Promise(done => { let timer = setTimeout(done, 500);
             new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(done, 500); })
               .observe(document.body, { childList: true, subtree: true }); setTimeout(done, 15000); })"""
    )


def test_a_faint_text_an_unnamed_button_and_a_stop_out_of_place_are_found(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content(
        """<!doctype html><html lang=en><title>t</title><main><h1 style="color: #949494">heading</h1>
        <p style="color: #767676">just dark enough</p><p style="color: #808080">too faint</p>
        <svg width=90 height=30><rect width=90 height=30 fill="#0072b2"/><text y=20 fill="#111">dim</text></svg>
        <input placeholder="faint hint" aria-label=x style="outline: none"><style>::placeholder { color: #aaa }</style>
        <button></button><button tabindex=1>first</button></main></html>"""
    )
    said = "\n".join(faint(page))
    assert "too faint" in said and "dim" in said and "faint hint" in said
    assert "just dark" not in said and "heading" not in said  # 3:1 is enough for what is large
    grey = next(text for text in texts_of(page) if text.text == "too faint")
    assert grey.contrast == pytest.approx(3.95, abs=0.01)
    assert any(line.startswith("button-name") for line in violations(page))
    wrong = wrong_stops(page, stops_of(page))
    assert any(line.startswith("no name: <button>") for line in wrong)
    assert any(line.startswith("focus is not seen: <input") for line in wrong)
    assert any(line.startswith("out of the document's order") for line in wrong)
    page.close()


def test_numbers_on_every_shade_of_a_map_can_be_read() -> None:
    for share in np.linspace(0, 1, 401):
        colour = np.array([float(part) for part in re.findall(r"[\d.]+", sample_colorscale("Viridis", [share])[0])])
        ink = hexed(INKS["dark" if share < DARK_SHARE else "bright"])
        assert contrast(colour, ink) >= ENOUGH, share
    for status, colour in {**STATE_COLOURS, "complete": COMPLETE, "other": OTHER_STATE}.items():
        ink = hexed(INKS["bright" if status == "missing" else "dark"])
        assert contrast(hexed(colour), ink) >= ENOUGH, status


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_texts_can_be_read_and_axe_finds_nothing(open_page: Callable[..., Seen], name: str, scheme: str) -> None:
    for width in (1400, 390):
        seen = open_page(name, width=width, scheme=scheme)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert len(texts_of(seen.page)) > 20
        assert faint(seen.page) == []
        assert violations(seen.page) == []
        seen.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_tab_stops_at_everything_in_its_order_with_a_name(open_page: Callable[..., Seen], name: str) -> None:
    seen = open_page(name)
    stops = stops_of(seen.page)
    assert wrong_stops(seen.page, stops) == []
    assert [stop.name for stop in stops[:5]] == ["Skip to the page", "Runs", "Curves", "Sweep", "Compare"]
    menu = seen.page.locator("button.dash-dropdown").last
    menu.focus()
    for _ in range(2):  # a menu of Dash has an unseen input, which would be a stop on the way back
        seen.page.keyboard.press("Shift+Tab")
        assert seen.page.evaluate("getComputedStyle(document.activeElement).opacity") == "1"
        assert not menu.evaluate("node => node === document.activeElement")
        seen.page.keyboard.press("Tab")
        assert menu.evaluate("node => node === document.activeElement")
    seen.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_can_be_read_and_walked_through(browser: Browser, tmp_path: Path, scheme: str) -> None:
    file = tmp_path / "report.html"
    write_report(read_comparison(stopped_sweep(tmp_path / "demo")), file)
    for width in (1400, 390):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(file.as_uri())
        scroll_through(page)  # a figure is drawn where one looks
        page.wait_for_selector("#stops-0 .main-svg", state="attached")
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert len(texts_of(page)) > 60
        assert faint(page) == []
        assert violations(page) == []
        if width == 1400:
            assert wrong_stops(page, stops_of(page)) == []
        page.close()
