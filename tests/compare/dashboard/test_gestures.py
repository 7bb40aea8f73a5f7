"""What a person does with mouse and keys on every page, and what is then drawn, beside the numbers on disk."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.curves import smooth
from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.compare.importance import anova, ped_anova
from lit_transformer.compare.statistics import mean_sd, summarise
from lit_transformer.compare.style import mean_text
from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RunFolder
from tests.compare.dashboard.site import Seen
from tests.compare.dashboard.test_pages import ROWS, drag, logged, result

pytestmark = pytest.mark.slow
HEADS, LAYERS, RATES = (1, 2, 4), (1, 2, 4), (0.001, 0.01)
Cell = tuple[int, int, float]


@pytest.fixture
def six(tmp_path: Path, module_runs: Callable[[Path], Path]) -> Path:
    return module_runs(tmp_path / "runs")


def plot(figure: str) -> str:
    return f"document.querySelector('#{figure} .js-plotly-plot')"


def loss_of(cell: Cell) -> float:
    """Losses in no order of size, so that front, importance and means say something."""
    heads, layers, rate = cell
    return round(2.0 + 0.31 * math.cos(3 * heads + layers) - 0.2 * layers + 20 * rate, 4)


def cost_of(cell: Cell) -> int:
    return 10_000 * cell[1] * (4 + cell[0] % 3) + round(1000 * cell[2])


def write_three(root: Path, run_writer: Callable[..., RunFolder], plan_writer: Callable[..., None]) -> dict[Cell, str]:
    """A sweep over three settings, two of its trials stopped early; cells with the names of their folders."""
    names = {(h, n, r): f"heads={h},layers={n},lr={r}" for h in HEADS for n in LAYERS for r in RATES}
    keys = ["model.num_heads", "model.num_layers", "optimizer.lr"]
    cells = [
        {"cell": name, "values": dict(zip(keys, cell, strict=True)), "problem": None} for cell, name in names.items()
    ]
    plan_writer(root, dict(zip(keys, (list(HEADS), list(LAYERS), list(RATES)), strict=True)), cells)
    for cell, name in names.items():
        run = run_writer(root / "cells" / name, heads=cell[0], layers=cell[1], optimizer={"lr": cell[2]})
        told = json.loads(run.result_file.read_text())
        told["metrics"]["val/loss"], told["parameters"] = loss_of(cell), cost_of(cell)
        write_json(run.result_file, told)
    stops = [
        {"cell": names[1, 1, 0.01], "band": 2, "value": 3.31, "threshold": 3.05, "rank": 7, "of": 9},
        {"cell": names[4, 4, 0.01], "band": 3, "value": 2.96, "threshold": 2.71, "rank": 5, "of": 6},
    ]
    lines = [json.dumps({"rule": "hyperband", "metric": "val/loss", **stop}) + "\n" for stop in stops]
    (root / "stops.jsonl").write_text("".join(lines))
    return names


def test_importance_front_and_stops_are_those_of_the_folders(
    tmp_path: Path,
    look: Callable[..., Seen],
    run_writer: Callable[..., RunFolder],
    plan_writer: Callable[..., None],
) -> None:
    sweep = tmp_path / "runs" / "sweeps" / "three"
    names = write_three(sweep, run_writer, plan_writer)
    seen = look(tmp_path / "runs")
    seen.open("/sweep", "#sweep-stops-0 .main-svg")
    page = seen.page

    comparison = read_comparison(sweep)
    cells = summarise(comparison.runs, comparison.cell_keys, "val/loss")
    bars = (
        f"() => {{ const p = {plot('ID')}; return p.layout.yaxis.ticktext.map((t, i) => [t, p._fullData[0].x[i]]); }}"
    )
    shares = ped_anova(cells, comparison.factors, "minimize")
    drawn = page.evaluate(bars.replace("ID", "sweep-importance"))
    assert {f"{key.rpartition('.')[2]}": share for key, share in shares.items()} == pytest.approx(dict(drawn))
    effects = {effect.factors: effect.share for effect in anova(comparison.runs, comparison.factors, "val/loss")}
    drawn = page.evaluate(bars.replace("ID", "sweep-variance"))
    assert [share for _, share in drawn] == pytest.approx(sorted(effects.values(), reverse=True))
    assert sum(share for _, share in drawn) == pytest.approx(1)
    assert dict(drawn)["num_layers"] == pytest.approx(effects[("model.num_layers",)])

    points = [(cost_of(cell), loss_of(cell)) for cell in names]
    front = sorted(one for one in points if not any(x <= one[0] and y <= one[1] and (x, y) != one for x, y in points))
    trace = next(t for t in seen.traces("sweep-against-parameters") if t["name"] == "Pareto front")
    assert 2 < len(front) < len(points)
    np.testing.assert_allclose([trace["x"], trace["y"]], np.transpose(front), rtol=1e-9)

    told = [json.loads(line) for line in (sweep / "stops.jsonl").read_text().splitlines()]
    by_name = {str(trace["name"]): trace for trace in seen.traces("sweep-stops-0")}
    assert by_name["stop"]["x"] == [stop["band"] for stop in told] == by_name["threshold"]["x"]
    assert by_name["stop"]["y"] == [stop["value"] for stop in told]
    assert by_name["threshold"]["y"] == [stop["threshold"] for stop in told]
    for stop in told:
        values = logged(RunFolder(sweep / "cells" / stop["cell"]), "val/loss")[1]
        line = by_name[f"cells/{stop['cell']}"]
        assert line["y"] == pytest.approx(values, rel=1e-5) and line["x"] == list(range(1, len(values) + 1))
    bands = page.evaluate(f"{plot('sweep-stops-0')}.layout.shapes.map(shape => shape.x0)")
    assert bands == [2, 3]
    seen.quiet()


def test_brushes_meet_cells_are_filtered_and_tiles_reduce_what_they_hold(
    tmp_path: Path,
    look: Callable[..., Seen],
    run_writer: Callable[..., RunFolder],
    plan_writer: Callable[..., None],
) -> None:
    sweep = tmp_path / "runs" / "sweeps" / "three"
    names = write_three(sweep, run_writer, plan_writer)
    seen = look(tmp_path / "runs")
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-center-cols-container .ag-row').length > 7")
    heights = f"() => {plot('sweep-map')}.data.flatMap(t => t.z.flat()).filter(z => z !== null).sort((a, b) => a - b)"
    pairs = [[loss_of((h, n, rate)) for rate in RATES] for h in HEADS for n in LAYERS]
    np.testing.assert_allclose(seen.page.evaluate(heights), sorted(map(min, pairs)), rtol=1e-9)
    for reducer, wanted in (("mean", [float(np.mean(pair)) for pair in pairs]), ("count", [2.0] * 9)):
        seen.pick("sweep-reducer", reducer)
        seen.until(f"first => Math.abs(({heights})()[0] - first) < 1e-9", min(wanted))
        np.testing.assert_allclose(seen.page.evaluate(heights), sorted(wanted), rtol=1e-9)

    def pull(axis: int, start: float, end: float) -> None:
        area = seen.page.locator("#sweep-parallel .axis-brush .background").nth(axis)
        area.scroll_into_view_if_needed()
        box = area.bounding_box()
        assert box is not None
        across = box["x"] + box["width"] / 2
        seen.page.mouse.move(across, box["y"] + start * box["height"])
        seen.page.mouse.down()
        if end != start:
            seen.page.mouse.move(across, box["y"] + end * box["height"], steps=6)
        seen.page.mouse.up()

    told = "wanted => document.querySelector('#sweep-cells-title').textContent === wanted"
    pull(0, 0.98, 0.80)  # one head
    seen.until(told, "6 of 18 cells are brushed")
    pull(1, 0.98, 0.40)  # one and two layers
    seen.until(told, "4 of 18 cells are brushed")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-center-cols-container .ag-row').length === 4")
    kept = [cell for cell in names if cell[0] == 1 and cell[1] in (1, 2)]
    assert sorted(seen.column("sweep-cells", "mean")) == sorted(f"{loss_of(cell):.3f}" for cell in kept)
    pull(0, 0.2, 0.2)  # a click beside the brush takes it away
    seen.until(told, "12 of 18 cells are brushed")

    seen.page.locator("#sweep-cells [col-id=k0] .ag-header-cell-filter-button").click()
    seen.page.locator(".ag-filter-body input:not([disabled])").first.fill("4")
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-center-cols-container .ag-row').length === 4")
    kept = [cell for cell in names if cell[0] == 4 and cell[1] in (1, 2)]
    assert sorted(seen.column("sweep-cells", "mean")) == sorted(f"{loss_of(cell):.3f}" for cell in kept)
    seen.quiet()


def test_a_cell_that_ends_appears_on_the_sweeps_page(
    tmp_path: Path, look: Callable[..., Seen], sweep_writer: Callable[..., Path]
) -> None:
    root = tmp_path / "runs"
    sweep = sweep_writer(root / "sweeps" / "demo", [1, 2], [1, 2], [0], {(2, 2, 0): "running"})
    seen = look(root)
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    run = RunFolder(sweep / "cells" / "num_heads=2,num_layers=2")
    done = json.loads((sweep / "cells" / "num_heads=1,num_layers=2" / "result.json").read_text())
    with run.metrics_file.open("a") as file:
        file.write('{"step": 300, "val/loss": 1.875}\n')
    texts = f"{plot('sweep-map')}.data.flatMap(t => t.text.flat())"
    seen.until(f"() => {texts}.some(text => text.startsWith('1.875') && text.includes('stopped'))")
    done["metrics"]["val/loss"] = 1.5
    write_json(run.result_file, done)
    seen.until(f"() => {texts}.includes('1.500')")
    seen.until(f"() => {plot('sweep-states')}.data.every(t => t.name === 'complete')")
    seen.until("() => document.querySelector('#sweep-cells').textContent.includes('1.500')")
    seen.quiet()


def test_two_hundred_curves_are_thinned_and_whole_where_zoomed_in(
    tmp_path: Path, look: Callable[..., Seen], run_writer: Callable[..., RunFolder]
) -> None:
    runs, steps = 200, 5_000
    values = np.random.default_rng(0).normal(size=(runs, steps)).cumsum(axis=1).round(4)
    for place in range(runs):
        run = run_writer(tmp_path / "runs" / "many" / f"r{place:03}", seed=place)
        rows = (f'{{"step": {step}, "noise": {value}}}\n' for step, value in enumerate(values[place].tolist()))
        run.metrics_file.write_text("".join(rows))
    seen = look(tmp_path / "runs")
    seen.open("/curves?metric=noise", "#curves-figure .scatterlayer .trace")
    drawn = seen.traces("curves-figure")
    assert len(drawn) == runs and max(len(trace["x"]) for trace in drawn) <= 300  # type: ignore[arg-type]

    def whole() -> None:
        """Every curve holds each of its points in the part that is shown, with its value on disk."""
        axis = seen.page.evaluate(f"{plot('curves-figure')}._fullLayout.xaxis.range")
        low, high = (
            axis if seen.page.locator("#curves-log input").first.is_checked() is False else [10**x for x in axis]
        )
        inside = np.arange(math.ceil(low), math.floor(high) + 1)
        assert 20 < len(inside) < 4_000
        for trace in seen.traces("curves-figure"):
            own = values[int(str(trace["name"])[-3:])]
            x = np.array(trace["x"], dtype=int)
            assert set(inside) <= set(x.tolist())
            np.testing.assert_allclose(trace["y"], own[x], rtol=1e-6)

    first = f"{plot('curves-figure')}._fullData[0].x"
    drag(seen, "curves-figure", 0.40, 0.42)
    seen.until(f"() => {first}[0] > 1000 && {first}.at(-1) - {first}[0] < 300")
    assert len(seen.traces("curves-figure")) == runs
    whole()
    seen.page.locator("#curves-figure .nsewdrag").first.dblclick()
    seen.until(f"() => {first}.at(-1) - {first}[0] > 4900")

    seen.page.locator("#curves-filter").fill("r007")
    seen.until(f"() => {plot('curves-figure')}._fullData.length === 1")
    assert seen.traces("curves-figure")[0]["name"] == "many/r007" and "q=r007" in seen.page.url
    seen.page.locator("#curves-log label").first.click()
    seen.until(f"() => {plot('curves-figure')}._fullLayout.xaxis.type === 'log' && {first}[0] > 0")
    drag(seen, "curves-figure", 0.85, 0.9)
    seen.until(f"() => {first}[0] > 500 && {first}.at(-1) < 4500")
    whole()
    seen.quiet()


def test_groups_of_curves_are_chosen_smoothed_and_live(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/curves?metric=train/loss", "#curves-figure .scatterlayer .trace")
    seen.pick("curves-group", "model.num_heads")
    mean = f"{plot('curves-figure')}._fullData.find(t => t.name === 'num_heads 2 (n = 2)')"
    seen.until(f"() => {mean}")
    both = np.array([logged(RunFolder(six / "gpt" / name), "train/loss")[1] for name in ("r2", "r3")])
    shown = next(t for t in seen.traces("curves-figure") if t["name"] == "num_heads 2 (n = 2)")
    np.testing.assert_allclose(shown["y"], both.mean(axis=0), rtol=1e-6)
    seen.page.locator("#curves-smooth-box [role=slider]").press("End")
    wanted = np.mean([smooth(values, 0.99) for values in both], axis=0)
    seen.until(f"last => Math.abs({mean}.y.at(-1) / last - 1) < 1e-5", float(wanted[-1]))
    seen.page.locator("#curves-smooth-box [role=slider]").press("Home")
    for name in ("r2", "r3"):
        with RunFolder(six / "gpt" / name).metrics_file.open("a") as file:
            file.write('{"step": 410, "train/loss": 7.5}\n')
    seen.until(f"() => {mean}.x.at(-1) === 410 && {mean}.y.at(-1) === 7.5")
    seen.quiet()


def test_columns_of_runs_are_chosen_and_groups_are_live(
    six: Path, look: Callable[..., Seen], run_writer: Callable[..., RunFolder]
) -> None:
    seen = look(six)
    seen.open("/?cols=seed", "#runs-grid .ag-row")
    seen.until(f"() => {ROWS} === 6")
    seen.pick("runs-columns", "val/accuracy")
    seen.until("() => document.querySelector('#runs-grid .ag-header').textContent.includes('accuracy')")
    assert seen.column("runs-grid", "c1")[0] == f"{result(six / 'gpt' / 'r0')['val/accuracy']:.3f}"
    seen.pick("runs-columns", "val/loss")
    seen.pick("runs-group", "model.num_heads")
    seen.until(f"() => {ROWS} === 3")
    added = run_writer(six / "gpt" / "r6", heads=1, seed=2)
    losses = [result(six / "gpt" / name)["val/loss"] for name in ("r0", "r1")]
    wanted = mean_text("val/loss", *mean_sd([*losses, result(added.path)["val/loss"]])[:2])
    seen.until(
        "wanted => [...document.querySelectorAll('#runs-grid [col-id=c2]')].some(cell => cell.textContent === wanted)",
        wanted,
    )
    assert "3" in seen.column("runs-grid", "count")
    seen.quiet()


def test_runs_side_by_side_are_chosen_smoothed_zoomed_and_live(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open(f"/compare?runs={run_id('gpt/r0')}~{run_id('gpt/r2')}", "#compare-figure .scatterlayer .trace")
    seen.pick("compare-runs", "gpt/r1")
    seen.until("() => document.querySelectorAll('#compare-config .ag-center-cols-container .ag-row').length === 2")
    assert dict(zip(seen.column("compare-config", "name"), seen.column("compare-config", "r2"), strict=True)) == {
        "model.num_heads": "1",
        "seed": "1",
    }
    seen.pick("compare-metric", "train/loss")
    traces = f"{plot('compare-figure')}._fullData"
    seen.until(f"() => {traces}.length === 3 && {traces}[0].x.length === 40")
    seen.page.locator("#compare-smooth-box [role=slider]").press("End")
    losses = np.array(logged(RunFolder(six / "gpt" / "r1"), "train/loss")[1])
    seen.until(f"last => Math.abs({traces}[2].y.at(-1) / last - 1) < 1e-5", float(smooth(losses, 0.99)[-1]))
    np.testing.assert_allclose(seen.traces("compare-figure")[2]["y"], smooth(losses, 0.99), rtol=1e-6)
    drag(seen, "compare-figure", 0.25, 0.5)
    seen.until(f"() => {plot('compare-figure')}._fullLayout.xaxis.range[0] > 20")
    seen.page.locator("#compare-smooth-box [role=slider]").press("Home")
    with RunFolder(six / "gpt" / "r1").metrics_file.open("a") as file:
        file.write('{"step": 410, "train/loss": 6.25}\n')
    seen.until(f"() => {traces}[2].y.at(-1) === 6.25")
    seen.quiet()


def test_a_runs_curves_are_chosen_smoothed_and_whole_where_zoomed_in(six: Path, look: Callable[..., Seen]) -> None:
    run = RunFolder(six / "gpt" / "r2")
    values = np.cumsum(np.random.default_rng(1).normal(size=12_000)).round(4) + 500
    with run.metrics_file.open("a") as file:
        file.writelines(f'{{"step": {step + 1000}, "noise": {value}}}\n' for step, value in enumerate(values.tolist()))
    seen = look(six)
    seen.open(f"/run?id={run_id('gpt/r2')}", "#run-figure .scatterlayer .trace")
    seen.pick("run-metrics", "noise")
    noise = f"{plot('run-figure')}._fullData.find(t => t.name === 'noise')"
    seen.until(f"() => {noise}")
    assert seen.page.evaluate(f"{noise}.x.length") <= 4_000
    seen.page.locator("#run-smooth-box [role=slider]").press("End")
    seen.until(f"last => Math.abs({noise}.y.at(-1) / last - 1) < 1e-5", float(smooth(values, 0.99)[-1]))
    seen.page.locator("#run-smooth-box [role=slider]").press("Home")
    seen.until(f"last => Math.abs({noise}.y.at(-1) / last - 1) < 1e-6", float(values[-1]))
    seen.page.locator("#run-log label").first.click()
    seen.until(f"() => {plot('run-figure')}._fullLayout.yaxis.type === 'log'")
    drag(seen, "run-figure", 0.5, 0.6)
    seen.until(f"() => {noise}.x[0] > 3000 && {noise}.x.at(-1) < 12000")
    shown = next(trace for trace in seen.traces("run-figure") if trace["name"] == "noise")
    x = np.array(shown["x"], dtype=int)
    assert len(x) > 500 and np.array_equal(np.diff(x), np.ones(len(x) - 1))
    np.testing.assert_allclose(shown["y"], values[x - 1000], rtol=1e-6)
    seen.quiet()
