"""Every page in a real browser: what a person does there, and what is then shown beside the numbers on disk."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_transformer.compare.curves import smooth
from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.compare.statistics import mean_sd
from lit_transformer.compare.style import mean_text
from lit_transformer.records.run_folder import RunFolder
from tests.compare.dashboard.site import Seen

OTHERS = ("/curves", "/sweep", "/compare", "/run")
ROWS = "document.querySelectorAll('#runs-grid .ag-center-cols-container .ag-row').length"


def result(run: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((run / "result.json").read_text())["metrics"]
    return found


def logged(run: RunFolder, name: str) -> tuple[list[float], list[float]]:
    rows = [row for row in run.read_metrics() if name in row]
    return [float(row["step"] or 0) for row in rows], [float(row[name] or math.nan) for row in rows]


def drag(seen: Seen, figure: str, start: float, end: float) -> None:
    """Drag over a figure's plot from one share of its width to another."""
    seen.page.locator(f"#{figure} .nsewdrag").first.scroll_into_view_if_needed()
    box = seen.page.locator(f"#{figure} .nsewdrag").first.bounding_box()
    assert box is not None
    height = box["y"] + box["height"] / 2
    seen.page.mouse.move(box["x"] + start * box["width"], height)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + (start + end) / 2 * box["width"], height + 3, steps=4)
    seen.page.mouse.move(box["x"] + end * box["width"], height + 4, steps=4)
    seen.page.mouse.up()


@pytest.fixture
def six(tmp_path: Path, module_runs: Callable[[Path], Path]) -> Path:
    return module_runs(tmp_path / "runs")


def test_runs_are_sorted_filtered_searched_and_grouped(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/?cols=model.num_heads~seed~val/loss~error", "#runs-grid .ag-row")
    seen.until(f"() => {ROWS} === 6")
    losses = {run.name: result(run)["val/loss"] for run in (six / "gpt").iterdir() if run.name != "r5"}
    page = seen.page
    assert page.locator("#runs-summary").inner_text() == "6 runs: 5 complete, 1 failed"
    page.locator("#runs-grid .ag-header-cell-text", has_text="loss").click()
    seen.until("() => document.querySelector('#runs-grid [aria-sort=ascending]')")
    assert [text for text in seen.column("runs-grid", "c2") if text] == [
        f"{loss:.3f}" for loss in sorted(losses.values())
    ]
    assert "RuntimeError: no" in seen.column("runs-grid", "c3")

    page.locator("#runs-search").fill("r4")
    seen.until(f"() => {ROWS} === 1")
    assert seen.column("runs-grid", "run") == ["gpt/r4"] and "q=r4" in page.url
    page.locator("#runs-search").fill("")
    seen.until(f"() => {ROWS} === 6")

    field = page.locator("#runs-grid .ag-floating-filter-input input:not([disabled])").nth(2)  # run, status, num_heads
    field.fill("2")
    seen.until(f"() => {ROWS} === 2")
    assert sorted(seen.column("runs-grid", "run")) == ["gpt/r2", "gpt/r3"]
    field.fill("")
    seen.until(f"() => {ROWS} === 6")

    seen.pick("runs-group", "model.num_heads")
    seen.until(f"() => {ROWS} === 3")
    pairs = [[losses["r0"], losses["r1"]], [losses["r2"], losses["r3"]]]
    wanted = {mean_text("val/loss", *mean_sd(pair)[:2]) for pair in pairs} | {f"{losses['r4']:.3f}"}
    assert set(seen.column("runs-grid", "c2")) == wanted
    seen.until("() => location.search.includes('group=model.num_heads')")
    seen.quiet()


@pytest.mark.slow
def test_table_is_saved_as_csv_as_it_is_shown(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/?cols=model.num_heads~val/loss&q=complete", "#runs-grid .ag-row")
    seen.until(f"() => {ROWS} === 5")
    with seen.page.expect_download() as saved:
        seen.page.locator("#runs-csv").click()
    lines = saved.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 6 and lines[0].replace('"', "").split(",")[:2] == ["run", "status"]
    assert all(f"{result(six / 'gpt' / f'r{place}')['val/loss']}" in lines[1 + place] for place in range(5))
    seen.quiet()


def test_new_runs_and_new_values_appear_by_themselves(
    six: Path, look: Callable[..., Seen], run_writer: Callable[..., RunFolder]
) -> None:
    seen = look(six)
    seen.open("/?cols=val/loss~eta", "#runs-grid .ag-row")
    seen.until(f"() => {ROWS} === 6")
    live = run_writer(six / "gpt" / "r6", status=None, trainer={"max_steps": 1000})
    with live.lock:
        seen.until(f"() => {ROWS} === 7")
        assert seen.column("runs-grid", "status")[-1] == "running"
        with live.metrics_file.open("a") as file:
            file.write('{"step": 410, "val/loss": 1.25}\n')
        with live.system_file.open("a") as file:
            file.write('\n{"step": 410, "seconds": 19.5, "tokens_per_second": 900.0, "total_steps": 1010}\n')
        seen.until(
            "() => [...document.querySelectorAll('#runs-grid [col-id=c0]')].some(cell => cell.textContent === '1.250')"
        )
        assert seen.column("runs-grid", "c1")[-1] == "10 min 0 s"  # 10 steps took 10 s, 600 are left
    seen.until("() => document.querySelector('#runs-summary').textContent.includes('stopped')")
    seen.quiet()


@pytest.mark.slow
def test_curves_are_smoothed_zoomed_and_live(six: Path, look: Callable[..., Seen]) -> None:
    run = RunFolder(six / "gpt" / "r2")
    values = np.cumsum(np.random.default_rng(0).normal(size=20_000)).tolist()
    run.metrics_file.write_text("".join(f'{{"step": {step}, "noise": {value}}}\n' for step, value in enumerate(values)))
    seen = look(six)
    seen.open("/curves?metric=train/loss&smooth=0.6", "#curves-figure .scatterlayer .trace")
    steps, losses = logged(RunFolder(six / "gpt" / "r0"), "train/loss")
    drawn = next(trace for trace in seen.traces("curves-figure") if trace["name"] == "gpt/r0")
    assert drawn["x"] == steps
    np.testing.assert_allclose(drawn["y"], smooth(np.array(losses), 0.6), rtol=1e-6)

    seen.pick("curves-metric", "noise")
    seen.until("() => document.querySelector('#curves-figure .js-plotly-plot')._fullData.length === 1")
    whole = seen.traces("curves-figure")[0]
    assert len(whole["x"]) <= 4_000 and max(whole["y"]) < max(values)  # type: ignore[arg-type, type-var]
    seen.page.locator("#curves-smooth-box [role=slider]").press("Home")
    seen.until(
        "top => Math.max(...document.querySelector('#curves-figure .js-plotly-plot')._fullData[0].y) > top",
        max(values) - 1e-4,
    )
    drag(seen, "curves-figure", 0.4, 0.5)
    seen.until("() => document.querySelector('#curves-figure .js-plotly-plot')._fullData[0].x[0] > 5000")
    part = seen.traces("curves-figure")[0]
    x = np.array(part["x"], dtype=int)
    assert np.array_equal(np.diff(x), np.ones(len(x) - 1))  # every step of the part, none left out
    np.testing.assert_allclose(part["y"], np.array(values)[x], rtol=1e-6)
    last = int(x[-1])
    seen.page.locator("#curves-figure .nsewdrag").first.dblclick()
    seen.until("last => document.querySelector('#curves-figure .js-plotly-plot')._fullData[0].x.at(-1) > last", last)
    with run.metrics_file.open("a") as file:
        file.write('{"step": 20000, "noise": 1e6}\n')
    seen.until("() => document.querySelector('#curves-figure .js-plotly-plot')._fullData[0].y.at(-1) === 1e6")
    seen.quiet()


@pytest.mark.slow
def test_groups_are_means_with_bands_over_seeds(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/curves?metric=val/loss&group=model.num_heads&q=status=complete", "#curves-figure .scatterlayer .trace")
    both = np.array([logged(RunFolder(six / "gpt" / name), "val/loss")[1] for name in ("r0", "r1")])
    by_name = {str(trace["name"]): trace for trace in seen.traces("curves-figure")}
    np.testing.assert_allclose(by_name["num_heads 1 (n = 2)"]["y"], both.mean(axis=0), rtol=1e-5)
    bands = [trace["y"] for trace in seen.traces("curves-figure") if trace["name"] == "num_heads 1 band"]
    np.testing.assert_allclose(bands[0], both.mean(axis=0) + both.std(axis=0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(bands[1], both.mean(axis=0) - both.std(axis=0, ddof=1), rtol=1e-5)
    assert "num_heads 4 (n = 1)" in by_name
    for axis, last in (("tokens", 400 * 2048), ("FLOPs", 6 * 110_000 * 400 * 2048), ("seconds", 9.5)):
        seen.pick("curves-axis", axis)
        seen.until(
            "([axis, last]) => { const plot = document.querySelector('#curves-figure .js-plotly-plot');"
            "const trace = plot._fullData.find(t => t.name.includes('n = 2'));"
            "return plot.layout.xaxis.title.text === axis && Math.abs(trace.x.at(-1) / last - 1) < 1e-5; }",
            [axis, last],
        )
    seen.quiet()


def write_samples(run: Path, steps: list[int], shade: int) -> None:
    folder = run / "samples"
    folder.mkdir()
    for step in steps:
        Image.new("RGB", (8, 8), (shade, step % 256, 0)).save(folder / f"masks-{step}.png")
        weights = np.random.default_rng(step + shade).random((2, 3, 3)).astype(np.float32)
        arrays = {"blocks.0.attention": weights, "inputs": np.array([5, 6, 7])}
        np.savez_compressed(folder / f"attention-{step}.npz", **arrays)  # type: ignore[arg-type]
    (folder / "translations.jsonl").write_text(
        '{"source": "ein Hund", "prediction": "a dog", "reference": "the dog"}\n'
    )


@pytest.mark.slow
def test_run_shows_settings_machine_log_and_what_to_type(six: Path, look: Callable[..., Seen]) -> None:
    run = RunFolder(six / "gpt" / "r5")
    run.log_file.write_text("first line\nRuntimeError: no\n")
    seen = look(six)
    seen.open(f"/run?id={run_id('gpt/r5')}", "#run-figure .scatterlayer .trace")
    page = seen.page
    assert page.locator("h1").inner_text() == "gpt/r5"
    seen.until("() => document.querySelector('#run-log-text').textContent.includes('first line')")
    facts = page.locator("#run-facts").inner_text()
    assert "failed" in facts and "RuntimeError: no" in facts and "110 k" in facts
    assert page.locator("#run-command-0").inner_text() == f"lit-transformer fit --resume {run.path}"
    by_name = {str(trace["name"]): trace for trace in seen.traces("run-figure")}
    assert by_name["train/loss"]["y"] == pytest.approx(logged(run, "train/loss")[1], rel=1e-6)
    origin = page.locator("#run-settings .ag-floating-filter-input input:not([disabled])").nth(2)
    origin.scroll_into_view_if_needed()
    origin.fill("cell")
    seen.until("() => document.querySelectorAll('#run-settings .ag-row').length === 1")
    assert seen.column("run-settings", "key") == ["model.num_heads"] and seen.column("run-settings", "value") == ["4"]
    with run.log_file.open("a") as file:
        file.write("one more\n")
    with run.metrics_file.open("a") as file:
        file.write('{"step": 410, "train/loss": 9.5}\n')
    seen.until("() => document.querySelector('#run-log-text').textContent.includes('one more')")
    seen.until("() => document.querySelector('#run-figure .js-plotly-plot')._fullData.some(t => t.y.at(-1) === 9.5)")
    seen.quiet()


@pytest.fixture
def sampled(six: Path) -> Path:
    write_samples(six / "gpt" / "r0", [100, 200], 10)
    write_samples(six / "gpt" / "r2", [100, 200], 20)
    return six


def test_runs_side_by_side_differ_first_and_share_one_slider(sampled: Path, look: Callable[..., Seen]) -> None:
    seen = look(sampled)
    ids = f"{run_id('gpt/r0')}~{run_id('gpt/r2')}"
    seen.open(f"/compare?runs={ids}", "#compare-figure .scatterlayer .trace")
    seen.until("() => document.querySelectorAll('#compare-config .ag-center-cols-container .ag-row').length === 1")
    assert seen.column("compare-config", "name") == ["model.num_heads"]
    assert [seen.column("compare-config", f"r{place}") for place in (0, 1)] == [["1"], ["2"]]
    seen.until("() => document.querySelectorAll('#compare-samples img').length === 2")
    shades = """async () => Promise.all([...document.querySelectorAll('#compare-samples img')].map(async img => {
        await img.decode(); const c = document.createElement('canvas'); c.width = c.height = 8;
        const g = c.getContext('2d'); g.drawImage(img, 0, 0);
        return [...g.getImageData(2, 2, 1, 1).data].slice(0, 2); }))"""
    assert seen.page.evaluate(shades) == [[10, 200], [20, 200]]
    slider = seen.page.locator("#compare-step [role=slider], #compare-step-box [role=slider]").first
    slider.scroll_into_view_if_needed()
    slider.press("Home")
    seen.until("() => document.querySelector('#compare-samples img').alt.startsWith('step 100')")
    assert seen.page.evaluate(shades) == [[10, 100], [20, 100]]  # one slider moves both

    maps = "[...document.querySelectorAll('#compare-samples .js-plotly-plot')].map(p => p.data[0].z)"
    seen.pick("compare-head", "head 1")
    weights = [np.random.default_rng(100 + shade).random((2, 3, 3)).astype(np.float32) for shade in (10, 20)]
    seen.until(
        f"want => {{ const z = {maps}; return z.length === 2 && Math.abs(z[0][0][0] - want) < 1e-3; }}",
        float(weights[0][1, 0, 0]),
    )
    np.testing.assert_allclose(seen.page.evaluate(maps), [each[1] for each in weights], atol=1e-4)
    assert seen.page.locator("#compare-samples td").all_inner_texts()[:3] == ["ein Hund", "a dog", "the dog"]
    seen.quiet()


@pytest.mark.slow
def test_sweep_of_seeds_alone_is_told_and_another_can_be_chosen(
    seeds_alone: Path, look: Callable[..., Seen], sweep_writer: Callable[..., Path]
) -> None:
    sweep_writer(seeds_alone.parent / "with-maps", [1, 2], [1, 2], [0])
    losses = [result(path)["val/loss"] for path in (seeds_alone / "cells").iterdir()]
    seen = look(seeds_alone.parents[1])
    seen.open("/sweep", ".empty")
    told = mean_text("val/loss", float(np.mean(losses)), float(np.std(losses, ddof=1)))
    assert f"val/loss: {told} over 3 seeds" in seen.page.locator(".empty").inner_text()
    seen.pick("sweep-id", "with-maps")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length === 4")
    seen.quiet()


@pytest.mark.slow
def test_sweep_is_mapped_brushed_and_told_by_state(
    tmp_path: Path, look: Callable[..., Seen], sweep_writer: Callable[..., Path]
) -> None:
    root = tmp_path / "runs"
    sweep = sweep_writer(root / "sweeps" / "demo", [1, 2, 4], [1, 2, 4], [0, 1], {(4, 4, 1): "failed"})
    seen = look(root)
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length === 9")
    plot = "document.querySelector('#sweep-map .js-plotly-plot')"
    heights = f"() => {plot}.data.flatMap(t => t.z.flat()).filter(z => z !== null)"
    means = [
        np.mean(
            [
                result(path)["val/loss"]
                for path in (sweep / "cells").glob(f"num_heads={h},num_layers={n},*")
                if "failed" not in (path / "result.json").read_text()
            ]
        )
        for h in (1, 2, 4)
        for n in (1, 2, 4)
    ]
    np.testing.assert_allclose(sorted(seen.page.evaluate(heights)), sorted(means), rtol=1e-6)
    states = seen.page.locator("#sweep-states .main-svg").first.text_content() or ""
    assert "failed" in states
    seen.pick("sweep-metric", "val/accuracy")
    seen.until(f"() => Math.max(...({heights})()) < 1")
    assert sorted({round(z, 6) for z in seen.page.evaluate(heights)}) == [0.31, 0.32, 0.34]

    brush = seen.page.locator("#sweep-parallel .axis-brush, #sweep-parallel .background").first
    brush.scroll_into_view_if_needed()
    box = brush.bounding_box()
    assert box is not None
    across = box["x"] + box["width"] / 2
    seen.page.mouse.move(across, box["y"] + box["height"] * 0.98)
    seen.page.mouse.down()
    seen.page.mouse.move(across, box["y"] + box["height"] * 0.80, steps=6)
    seen.page.mouse.up()
    seen.until("() => document.querySelector('#sweep-cells-title').textContent === '3 of 9 cells are brushed'")
    assert set(seen.column("sweep-cells", "k0")) == {"1"}
    seen.pick("sweep-x", "model.num_layers")
    seen.until(
        "() => document.querySelector('#sweep-map .js-plotly-plot').layout.xaxis.title.text === 'model.num_layers'"
    )
    seen.until("() => location.search.includes('x=model.num_layers')")
    seen.until("() => document.querySelectorAll('#sweep-costs .main-svg').length > 0")
    seen.quiet()


@pytest.mark.slow
def test_address_holds_the_state_and_back_goes_to_the_page_before(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/?cols=seed~val/loss&group=seed", "#runs-grid .ag-row")
    seen.until(f"() => {ROWS} === 2")
    seen.page.get_by_role("link", name="Curves").click()
    seen.page.wait_for_selector("#curves-figure .scatterlayer")
    assert seen.page.locator("header nav a[aria-current=page]").inner_text() == "Curves"
    seen.page.go_back()
    seen.until(f"() => {ROWS} === 2")
    seen.page.reload()
    seen.until(f"() => {ROWS} === 2")
    seen.quiet()


@pytest.mark.slow
def test_ticked_runs_are_compared_by_keyboard_and_link(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/?cols=seed", "#runs-grid .ag-row")
    boxes = seen.page.locator("#runs-grid .ag-row .ag-checkbox-input")
    seen.until("() => document.querySelectorAll('#runs-grid .ag-row .ag-checkbox-input').length === 6")
    boxes.nth(0).check()
    boxes.nth(2).check()
    seen.page.get_by_role("link", name="Compare 2").press("Enter")
    seen.page.wait_for_selector("#compare-config .ag-row")
    assert seen.column("compare-config", "name") == ["model.num_heads"]
    seen.quiet()


@pytest.mark.parametrize("path", ["/", *(pytest.param(path, marks=pytest.mark.slow) for path in OTHERS)])
def test_pages_fit_a_phone_in_the_dark_and_have_labels(six: Path, look: Callable[..., Seen], path: str) -> None:
    seen = look(six, width=390, height=844, scheme="dark")
    seen.open(f"{path}?id={run_id('gpt/r0')}", "main h1")
    seen.page.wait_for_selector(".ag-row", state="attached") if path != "/curves" else None
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    unnamed = seen.page.evaluate(
        """() => [...document.querySelectorAll('main :is(button, input, a, [role=slider])')].filter(node =>
             node.offsetParent && !node.closest('.ag-theme-quartz-auto-dark, .modebar, .js-plotly-plot') && !(
               node.getAttribute('aria-label') || node.getAttribute('aria-labelledby') || node.labels?.length ||
               node.textContent.trim() || node.title || node.closest('label, [role=group]')
               )).map(node => node.outerHTML)"""
    )
    assert unnamed == []
    contrast = """selector => {
        const linear = x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
        const light = c => { const v = c.map(x => linear(x / 255));
          return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
        const parts = text => text.match(/[0-9.]+/g).slice(0, 3).map(Number);
        const node = document.querySelector(selector);
        let back = node; while (getComputedStyle(back).backgroundColor.endsWith(', 0)')) back = back.parentElement;
        const [a, b] = [getComputedStyle(node).color, getComputedStyle(back).backgroundColor].map(c => light(parts(c)));
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }"""
    for selector in ("h1", "header nav a", "header strong"):
        assert seen.page.evaluate(contrast, selector) >= 4.5, selector
    seen.quiet()
