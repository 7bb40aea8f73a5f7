"""What `analyze` wrote on the pages of runs and sweeps: the numbers on disk, live, and a note where they cannot be."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.compare.analysis_files import read_heads, read_sweep_analysis
from lit_transformer.compare.analysis_section import heads_line, match_lines, scaling_lines
from lit_transformer.compare.dashboard.analysis_panel import (
    MAX_BYTES,
    Parts,
    heads_parts,
    section,
    state_of,
    sweep_parts,
)
from lit_transformer.compare.dashboard.live_run import run_id
from lit_transformer.records.analysis import heads_file, sweep_analysis_file
from lit_transformer.records.atomic import write_json
from tests.compare.dashboard.site import Seen
from tests.compare.dashboard.test_hostile import FOUND
from tests.compare.test_analysis import heads_document, sweep_document

CELL = "num_heads=2,num_layers=4"


def told(file: Path, parts: Parts) -> str:
    return json.dumps(section(file.parent.parent, file, parts).to_plotly_json(), default=lambda c: c.to_plotly_json())


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"", "is damaged and not shown"),
        (b"[1]", "is damaged and not shown"),
        (b'{"version": 1}', "is damaged and not shown"),
        (b"[" * 100_000, "is damaged and not shown"),
        (b'{"version": 7}', "has version 7, known is 1: it is not shown."),
        (b'{"version": "<b>"}', "has version <b>, known is 1: it is not shown."),
        (b'{"version": 1}' + b" " * MAX_BYTES, "is larger than 4 MB and not shown."),
    ],
)
def test_a_file_that_cannot_be_shown_is_a_note(tmp_path: Path, content: bytes, note: str) -> None:
    for file, parts in ((heads_file(tmp_path), heads_parts), (sweep_analysis_file(tmp_path), sweep_parts)):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        assert f"analysis/{file.name} {note}" in told(file, parts)


def test_whatever_a_file_holds_it_is_drawn_or_a_note(tmp_path: Path) -> None:
    chance = random.Random(0)
    odd: list[object] = [None, True, -1, 10**400, 1e308, "x", "<b>", [], {}, [1], {"a": 1}, [[]], float("nan")]

    def damage(value: Any) -> Any:
        if chance.random() < 0.02:
            return chance.choice(odd)
        if isinstance(value, dict):
            return {key: damage(item) for key, item in value.items()}
        return [damage(item) for item in value] if isinstance(value, list) else value

    drawn = 0
    for _ in range(60):
        for make, file, parts in (
            (heads_document, heads_file(tmp_path), heads_parts),
            (sweep_document, sweep_analysis_file(tmp_path), sweep_parts),
        ):
            write_json(file, {**damage(make()), "version": 1})
            drawn += "Graph" in told(file, parts)
    assert 0 < drawn < 120


def test_a_link_is_not_followed(tmp_path: Path, nine: Path) -> None:
    write_json(heads_file(tmp_path / "outside"), heads_document())
    linked = heads_file(nine / "cells" / CELL).parent
    linked.symlink_to(tmp_path / "outside" / "analysis", target_is_directory=True)
    file = heads_file(nine / "cells" / "num_heads=1,num_layers=1")
    file.parent.mkdir()
    file.symlink_to(heads_file(tmp_path / "outside"))
    assert read_heads(nine / "cells" / CELL) is not None and state_of(heads_file(nine / "cells" / CELL)) == ""
    assert state_of(file) == "" and state_of(heads_file(tmp_path / "outside")) != ""


def figures(seen: Seen, page: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = seen.page.evaluate(
        """page => [...document.querySelectorAll(`#${page}-analysis .js-plotly-plot`)].map(plot => ({
             title: plot.layout.title.text,
             traces: plot._fullData.map(t => ({name: t.name, x: [...t.x], y: [...t.y], z: t.z && t.z.map(r => [...r])}))
           }))""",
        page,
    )
    return found


def test_what_heads_do_appears_on_the_page_of_a_run(nine: Path, look: Callable[..., Seen], hostile: str) -> None:
    seen = look(nine.parent)
    file, id = heads_file(nine / "cells" / CELL), run_id(f"demo/cells/{CELL}")
    seen.open(f"/run?id={id}", "#run-figure .scatterlayer .trace")
    assert seen.page.locator("#run-analysis").inner_text() == ""
    document = heads_document(hostile)
    document["heads"][0]["attention"] = hostile
    write_json(file, document)
    seen.until("() => document.querySelectorAll('#run-analysis .plot-container').length === 6")
    drawn = figures(seen, "run")
    found = read_heads(file.parent.parent)
    assert found is not None and seen.page.locator("#run-analysis .hint").inner_text() == f"{heads_line(found)}."
    for place, measure in enumerate(("removal", "gradient", "entropy", "distance")):
        (trace,) = drawn[place]["traces"]
        shown = dict(zip(trace["y"], trace["z"], strict=True))
        wanted = [head[measure] for head in document["heads"] if (head["attention"], head["layer"]) == ("decoder", 1)]
        assert shown["decoder 1"] == pytest.approx(wanted)
    assert [figure["title"] for figure in drawn[4:]] == [
        "val/loss of the pruned network", "val/accuracy of the pruned network",
    ]  # fmt: skip
    by_order = {trace["name"]: trace for trace in drawn[5]["traces"]}
    assert by_order["at random"]["x"] == [0, 0.5, 1]
    assert by_order["at random"]["y"] == pytest.approx([0.6, 0.4, 0.1])
    harmless = seen.page.evaluate(FOUND)
    assert harmless["bad"] == [] and harmless["handlers"] == 0 and harmless["images"] == []

    write_json(file, {**document, "version": 2})
    seen.until("() => document.querySelector('#run-analysis').textContent.includes('has version 2, known is 1')")
    assert seen.page.locator("#run-analysis .js-plotly-plot").count() == 0
    assert seen.page.locator("#run-figure .scatterlayer .trace").count() > 0
    assert "complete" in seen.page.locator("#run-facts").inner_text()
    file.unlink()
    seen.until("() => document.querySelector('#run-analysis').textContent === ''")
    seen.quiet()


@pytest.mark.slow
def test_few_heads_and_scaling_appear_on_the_page_of_a_sweep(nine: Path, look: Callable[..., Seen]) -> None:
    file = sweep_analysis_file(nine)
    document = sweep_document()
    write_json(file, document)
    seen = look(nine.parent)
    seen.open("/sweep", "#sweep-map .heatmaplayer")
    seen.until("() => document.querySelectorAll('#sweep-analysis .plot-container').length === 2")
    few, scaling = figures(seen, "sweep")
    trained, pruned = few["traces"]
    assert trained["x"] == [1, 2, 4] and trained["y"] == pytest.approx([2.1, 2.0, 1.9])
    assert pruned["y"] == pytest.approx([2.6, 2.1, 1.9])
    by_name = {trace["name"]: trace for trace in scaling["traces"]}
    assert by_name["cells"]["y"] == [2.0] and by_name["largest cell, predicted from the others"]["y"] == [2.25]
    found = read_sweep_analysis(nine)
    assert found is not None and found.matches is not None and found.scaling is not None
    lines = seen.page.locator("#sweep-analysis li").all_inner_texts()
    assert lines == [*match_lines(found.matches), *scaling_lines(found.scaling)]

    write_json(file, {**document, "scaling": None, "scaling_reason": "every cell has as many parameters\n  fix"})
    seen.until("() => document.querySelectorAll('#sweep-analysis .plot-container').length === 1")
    assert "every cell has as many parameters" in seen.page.locator("#sweep-analysis .hint").all_inner_texts()
    file.write_text("{")
    seen.until("() => document.querySelector('#sweep-analysis').textContent.includes('is damaged')")
    assert seen.page.locator("#sweep-map .heatmaplayer").count() > 0
    seen.until("() => document.querySelectorAll('#sweep-cells .ag-row').length > 0")
    seen.page.wait_for_selector("#sweep-why :is(.main-svg, .hint)")
    seen.quiet()
