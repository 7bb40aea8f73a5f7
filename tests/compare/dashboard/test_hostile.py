"""Sixty strings that would be markup or script, as run names, keys, values, samples and file names, on every page."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Browser

from lit_transformer.compare.dashboard.live_run import run_id
from tests.compare.conftest import write_plan, write_run
from tests.compare.dashboard.site import Seen, Site, look_at, serve
from tests.compare.hostile import MORE_XSS as XSS

FOUND = """() => {
  const all = selector => [...document.querySelectorAll(selector)];
  const address = node => node.src || node.getAttribute('xlink:href') || node.getAttribute('href') || '';
  return {
    bad: all('iframe, object, embed, video, audio, marquee, math, base, meta[http-equiv=refresh], details, form, ' +
             'isindex, x, .js-plotly-plot a, td b, td i, .ag-cell b, .ag-cell i').map(node => node.outerHTML),
    scripts: all('script:not([src])').map(node => node.id || node.textContent.slice(0, 80)),
    images: all('img, image').map(address).filter(src => !src.startsWith('data:')),
    handlers: all('*').filter(node => [...node.attributes].some(a => a.name.startsWith('on'))).length,
    links: all('a').map(address).filter(href => href && !href.startsWith(location.origin) && !/^[#/]/.test(href)),
  };
}"""


def hostile_runs(root: Path) -> Path:
    """A sweep whose names, keys, values, metrics, errors, logs, sample files and texts are those strings."""
    cells: list[dict[str, object]] = []
    key = f"model.{XSS[1]}"
    for place, text in enumerate(XSS):
        name = text.replace("/", "_").replace("\x00", "0")[:200] + str(place)
        status = "failed" if place % 3 == 0 else "complete"
        run = write_run(
            root / XSS[5].replace("/", "_") / "cells" / name, status=status, error=text, steps=100, **{text: text}
        )
        result = json.loads(run.result_file.read_text())
        result["metrics"] = {"val/loss": 2.0 + place, f"val/{text}": 1.0}
        run.result_file.write_text(json.dumps(result))
        rows = [{"step": step, "val/loss": 3.0 - step / 500, f"val/{text}": step, text: step} for step in range(1, 25)]
        run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        run.log_file.write_text(text)
        samples = run.path / "samples"
        samples.mkdir()
        row = json.dumps({text: text, "prediction": text})
        (samples / (text.replace("/", "_").replace("\x00", "0")[:200] + ".jsonl")).write_text(row)
        np.savez(
            samples / "attention-1.npz",
            **{f"{text.replace(chr(0), '0')[:60]}.attention": np.ones((1, 2, 2), np.float32)},
        )  # type: ignore[arg-type]
        cells.append({"cell": name, "values": {key: text, "other": place % 3}, "problem": None})
    cells.append({"cell": "last", "values": {key: "z", "other": 1}, "problem": XSS[0]})
    write_plan(root / XSS[5].replace("/", "_"), {key: [], "other": []}, cells, name=XSS[1])
    return root


SWEEP = XSS[5].replace("/", "_")
KEY = f"model.{XSS[1]}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert len(set(XSS)) >= 60
    root = hostile_runs(tmp_path_factory.mktemp("hostile") / "<marquee onstart=alert(1)>")
    yield from serve(root)


@pytest.fixture
def seen(browser: Browser, site: Site) -> Iterator[Seen]:
    made = look_at(browser, site, height=3000)
    yield made
    made.page.close()


def ids_of(site: Site, part: str = "") -> list[str]:
    """The ids of the runs whose names hold `part`."""
    names = sorted(name for name in os.listdir(site.root / SWEEP / "cells") if part in name)
    return [run_id(f"{SWEEP}/cells/{name}") for name in names]


def harmless(seen: Seen) -> None:
    """Nothing of it is an element, a script, an address or a handler; nothing was run, asked or complained of."""
    found = seen.page.evaluate(FOUND)
    scripts = ["_dash-config", "_dash-renderer"]
    assert found == {"bad": [], "scripts": scripts, "images": [], "handlers": 0, "links": []}, found
    seen.quiet()


def test_tables_of_runs_show_hostile_text_as_it_is(seen: Seen) -> None:
    columns = [KEY, "other", "val/loss", "error", *(f"val/{text}" for text in XSS[:20])]
    seen.open(f"/?cols={quote('~'.join(columns))}", "#runs-grid .ag-row")
    seen.until("() => document.querySelectorAll('#runs-grid .ag-center-cols-container .ag-row').length > 60")
    shown = seen.column("runs-grid", "c0")
    assert XSS[0] in shown and XSS[4] in shown and "__proto__" in shown
    assert XSS[0] in seen.page.locator("#runs-grid .ag-header").inner_text()
    assert seen.page.title() == "<marquee onstart=alert(1)>"
    seen.page.locator("#runs-grid .ag-cell").nth(3).hover()
    seen.page.locator("#runs-columns").click()
    harmless(seen)
    seen.open(f"/?group={quote(KEY)}&cols=val/loss", "#runs-grid .ag-row")
    harmless(seen)


@pytest.mark.slow
def test_curves_show_hostile_text_as_it_is(seen: Seen) -> None:
    seen.open("/curves?metric=val/loss", "#curves-figure .scatterlayer .trace")
    names = [str(trace["name"]) for trace in seen.traces("curves-figure")]
    assert len(names) == len(XSS) and any("&lt;script&gt;" in name for name in names)
    seen.page.locator("#curves-figure .nsewdrag").first.hover()
    harmless(seen)
    seen.open(f"/curves?metric={quote(XSS[1])}&group={quote(KEY)}", "#curves-figure .scatterlayer .trace")
    seen.page.locator("#curves-figure .nsewdrag").first.hover()
    harmless(seen)


@pytest.mark.slow
def test_sweeps_show_hostile_text_as_it_is(seen: Seen) -> None:
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length > 5")
    assert seen.page.locator("h1").inner_text() == XSS[1]
    seen.page.locator("#sweep-map .nsewdrag").first.hover()
    harmless(seen)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["<script>", "__proto__", "svg", "constructor"])
def test_runs_show_hostile_text_as_it_is(seen: Seen, part: str) -> None:
    seen.open(f"/run?id={ids_of(seen.site, part)[0]}", "#run-figure .main-svg")
    seen.until("() => document.querySelectorAll('#run-samples td').length > 0")
    harmless(seen)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 16, 32, 48])
def test_runs_side_by_side_show_hostile_text_as_it_is(seen: Seen, first: int) -> None:
    ids = ids_of(seen.site)[first : first + 16]
    seen.open(f"/compare?runs={'~'.join(ids)}", "#compare-config .ag-row")
    seen.until("() => document.querySelectorAll('#compare-samples h3').length > 0")
    harmless(seen)
