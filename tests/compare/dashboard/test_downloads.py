"""What the buttons of every page save: tables as CSV, figures as SVG and PNG, held against the run folders."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator

from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.compare.statistics import mean_sd
from lit_transformer.compare.style import mean_text
from lit_transformer.records.run_folder import RunFolder
from tests.compare.conftest import write_sweep
from tests.compare.dashboard.site import Seen, Site, look_at, serve
from tests.compare.dashboard.test_access import STOP
from tests.compare.dashboard.test_pages import result, write_samples

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, module_runs: Callable[[Path], Path]) -> Path:
    root = module_runs(tmp_path_factory.mktemp("downloads") / "runs")
    sweep = write_sweep(root / "sweeps" / "demo", [1, 2, 4, 8], [1, 2, 3, 4], [0, 1])
    stop = {**STOP, "cell": "num_heads=1,num_layers=4,seed=0"}
    (sweep / "stops.jsonl").write_text(json.dumps(stop) + "\n")
    for name in ("r0", "r2"):
        write_samples(root / "gpt" / name, [100], 10)
    return root


@pytest.fixture(scope="module")
def site(root: Path) -> Iterator[Site]:
    yield from serve(root)


@pytest.fixture
def seen(browser: Browser, site: Site) -> Iterator[Seen]:
    seen = look_at(browser, site)
    yield seen
    seen.quiet()
    seen.page.close()


def saved(seen: Seen, button: Locator) -> tuple[str, bytes]:
    """Name and content of the file that a button saves."""
    button.scroll_into_view_if_needed()
    with seen.page.expect_download() as file:
        button.click()
    return file.value.suggested_filename, file.value.path().read_bytes()


def table(seen: Seen, id: str) -> tuple[str, list[dict[str, str]]]:
    name, content = saved(seen, seen.page.locator(f"#{id}"))
    return name, list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def svg(seen: Seen, id: str) -> str:
    """The texts of the figure that a button saves as SVG."""
    name, content = saved(seen, seen.page.locator(f"#{id}-svg"))
    assert name == f"{id}.svg"
    drawn = ElementTree.fromstring(content)
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg" and float(drawn.attrib["width"]) > 300
    return " ".join(drawn.itertext())


def png(seen: Seen, id: str) -> None:
    """Plotly's own button saves the figure, at twice its size on the page, with something drawn on it."""
    box = seen.page.locator(f"#{id} .main-svg").first.bounding_box()
    assert box is not None
    name, content = saved(seen, seen.page.locator(f"#{id} [data-title='Download plot as a PNG']"))
    image = Image.open(io.BytesIO(content))
    assert name == f"{id}.png" and image.format == "PNG"
    assert image.size == pytest.approx((2 * box["width"], 2 * box["height"]), abs=4)
    assert len(np.unique(np.asarray(image.convert("RGBA")).reshape(-1, 4), axis=0)) > 20


def test_runs_are_saved_with_the_numbers_on_disk(seen: Seen, root: Path) -> None:
    seen.open("/?cols=model.num_heads~val/loss&q=gpt", "#runs-grid .ag-row")
    seen.until("() => document.querySelectorAll('#runs-grid .ag-center-cols-container .ag-row').length === 6")
    name, rows = table(seen, "runs-csv")
    assert name == "runs.csv" and [row["run"] for row in rows] == [f"gpt/r{place}" for place in range(6)]
    for row in rows[:5]:
        assert float(row["val/loss"]) == result(root / row["run"])["val/loss"]


def test_curves_are_saved(seen: Seen) -> None:
    seen.open("/curves?metric=train/loss&q=gpt", "#curves-figure .scatterlayer .trace")
    told = svg(seen, "curves-figure")
    assert "train/loss" in told and all(f"gpt/r{place}" in told for place in range(6))
    png(seen, "curves-figure")


def test_a_sweep_and_what_it_says_are_saved(seen: Seen, root: Path) -> None:
    seen.open("/sweep", "#sweep-stops-0 .main-svg")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-center-cols-container .ag-row').length > 7")
    cells = root / "sweeps" / "demo" / "cells"
    losses = {
        (heads, layers): [result(path)["val/loss"] for path in cells.glob(f"num_heads={heads},num_layers={layers},*")]
        for heads in (1, 2, 4, 8)
        for layers in (1, 2, 3, 4)
    }
    means = {cell: np.mean(found) for cell, found in losses.items()}
    name, rows = table(seen, "sweep-csv")
    assert name == "cells.csv" and len(rows) == 16
    for row in rows:
        assert float(row["val/loss"]) == pytest.approx(means[int(row["num_heads"]), int(row["num_layers"])], rel=1e-9)
        assert row["n"] == "2" and row["status"] == "complete"
    told = svg(seen, "sweep-map")
    tiles = [mean_text("val/loss", *mean_sd(found)[:2]).partition(" ")[0] for found in losses.values()]
    assert all(tile in told for tile in tiles)
    assert "2 complete" in svg(seen, "sweep-states")
    parallel = svg(seen, "sweep-parallel")
    assert "num_heads" in parallel and "val/loss" in parallel
    assert "num_heads × num_layers" in svg(seen, "sweep-variance")
    assert "num_layers" in svg(seen, "sweep-importance")
    assert "Pareto front" in svg(seen, "sweep-against-parameters")
    assert "threshold" in svg(seen, "sweep-stops-0")
    png(seen, "sweep-map")
    png(seen, "sweep-against-seconds")


def test_runs_side_by_side_are_saved(seen: Seen, root: Path) -> None:
    ids = [run_id(f"gpt/{name}") for name in ("r0", "r2")]
    seen.open(f"/compare?runs={'~'.join(ids)}", "#compare-samples .main-svg")
    seen.page.wait_for_selector("#compare-config .ag-row")
    assert table(seen, "compare-config-csv")[1] == [{"setting": "model.num_heads", "gpt/r0": "1", "gpt/r2": "2"}]
    rows = {row["metric"]: row for row in table(seen, "compare-metrics-csv")[1]}
    for name in ("r0", "r2"):
        assert float(rows["val/loss"][f"gpt/{name}"]) == result(root / "gpt" / name)["val/loss"]
    told = svg(seen, "compare-figure")
    assert "gpt/r0" in told and "gpt/r2" in told
    assert "blocks.0.attention" in svg(seen, f"map-{ids[0]}")
    png(seen, "compare-figure")
    png(seen, f"map-{ids[1]}")


def test_a_run_is_saved_with_its_settings_and_its_machine(seen: Seen, root: Path) -> None:
    run = RunFolder(root / "gpt" / "r0")
    seen.open(f"/run?id={run_id('gpt/r0')}", "#run-system-0 .main-svg")
    seen.page.wait_for_selector("#run-settings .ag-row")
    name, rows = table(seen, "run-csv")
    told = {row["setting"]: (row["value"], row["origin"]) for row in rows}
    assert name == "config.csv" and told["model.num_heads"] == ("1", run.read_origins()["model.num_heads"])
    assert float(told["optimizer.lr"][0]) == run.read_config()["optimizer"]["lr"]  # type: ignore[index]
    drawn = svg(seen, "run-figure")
    assert "train/loss" in drawn and "val/loss" in drawn
    assert "tokens/s" in svg(seen, "run-system-0")
    png(seen, "run-figure")
