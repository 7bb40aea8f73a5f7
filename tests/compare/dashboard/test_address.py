"""Filters and order of the table of runs in the address: kept, restored, and never anything else than that."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from lit_transformer.compare.dashboard.grid_state import (
    MAX_FILTERS,
    MAX_TEXT,
    filters_of,
    sorting_of,
    written_filters,
    written_sorting,
)
from lit_transformer.compare.dashboard.run_table import fields_of
from tests.compare.dashboard.site import Seen, serve
from tests.compare.dashboard.test_hostile import FOUND
from tests.compare.dashboard.test_pages import ROWS, result
from tests.compare.hostile import MORE_XSS as XSS

FIELDS = {"run": "run", "model.num_heads": "c0", "val/loss": "c1"}
NUMERIC = ["c0", "c1"]


def number(kind: str, *values: float) -> dict[str, object]:
    return {"filterType": "number", "type": kind, **dict(zip(("filter", "filterTo"), values, strict=False))}


def words(kind: str, value: str) -> dict[str, object]:
    return {"filterType": "text", "type": kind, "filter": value}


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ({}, ""),
        ({"c1": number("lessThan", 2.5)}, '{"val/loss":[["lessThan",2.5]]}'),
        ({"c0": number("inRange", 2, 4)}, '{"model.num_heads":[["inRange",2,4]]}'),
        ({"run": words("contains", "r~4 &b=<b>一")}, '{"run":[["contains","r~4 &b=<b>一"]]}'),
        ({"c1": number("blank")}, '{"val/loss":[["blank"]]}'),
        (
            {"c0": {"filterType": "number", "operator": "OR",
                    "conditions": [number("equals", 1), number("equals", 4)]}},
            '{"model.num_heads":["OR",["equals",1],["equals",4]]}',
        ),
        (
            {"c1": {"filterType": "number", "operator": "AND",
                    "conditions": [number("greaterThan", 1), number("notBlank")]}},
            '{"val/loss":[["greaterThan",1],["notBlank"]]}',
        ),
    ],
)  # fmt: skip
def test_filters_come_back_as_they_were(model: dict[str, object], written: str) -> None:
    assert written_filters(model, FIELDS, NUMERIC) == written
    assert filters_of(written, FIELDS, NUMERIC) == model
    other = {"val/loss": "c7", "run": "run", "model.num_heads": "c3"}  # the same columns in other places
    moved = filters_of(written, other, ["c3", "c7"])
    again = written_filters(moved, other, ["c3", "c7"])
    assert filters_of(again, FIELDS, NUMERIC) == model


@pytest.mark.parametrize(
    "written",
    [
        "x", "[1]", "[" * 10_000, '{"a":' * 5_000, "1" * 5_000, "null", '{"unknown":[["lessThan",2]]}',
        '{"val/loss":1}',
        '{"val/loss":[["lessThan","2"]]}', '{"val/loss":[["lessThan"]]}', '{"val/loss":[["contains","2"]]}',
        '{"val/loss":[["inRange",1]]}', '{"val/loss":[["lessThan",NaN]]}', '{"val/loss":[["lessThan",1e999]]}',
        '{"val/loss":[[[],2]]}', '{"val/loss":[["lessThan",true]]}', '{"run":[["lessThan",2]]}',
        '{"run":[["contains"]]}',
        '{"run":[["contains",["a"]]]}', '{"run":[["<b>","a"]]}', '{"run":["OR"]}', '{"__proto__":[["contains","a"]]}',
    ],
)  # fmt: skip
def test_anything_else_in_an_address_is_no_filter(written: str) -> None:
    assert filters_of(written, FIELDS, NUMERIC) == {}


def test_filters_are_bounded() -> None:
    fields = {f"k{place}": f"c{place}" for place in range(100)}
    many = json.dumps({name: [["contains", "a" * 5_000]] * 50 for name in fields})
    model = filters_of(many, fields, [])
    assert len(model) == MAX_FILTERS
    assert all(len(one["conditions"]) == 2 for one in model.values())
    assert {len(item["filter"]) for one in model.values() for item in one["conditions"]} == {MAX_TEXT}


@pytest.mark.parametrize("noise", [None, 1, "x", [], [1], {"c1": 1}, {"c1": {"type": {}}}, {"c1": {"conditions": [1]}}])
def test_a_page_may_send_anything(noise: object) -> None:
    assert written_filters(noise, FIELDS, NUMERIC) == "" and written_sorting(noise, FIELDS) == []
    assert written_filters({"c1": number("lessThan", math.nan)}, FIELDS, NUMERIC) == ""


def test_the_order_comes_back_as_it_was() -> None:
    state = [
        {"colId": "c0", "sort": "asc", "sortIndex": 1},
        {"colId": "run", "sort": None},
        {"colId": "c1", "sort": "desc", "sortIndex": 0},
        {"colId": "c9", "sort": "asc"}, {"colId": [], "sort": "asc"}, {"colId": "c1", "sort": "<b>"},
    ]  # fmt: skip
    written = written_sorting(state, FIELDS)
    assert written == ["val/loss:desc", "model.num_heads:asc"]
    assert list(sorting_of(written, FIELDS).items()) == [("c1", "desc"), ("c0", "asc")]
    assert sorting_of(["val/loss", "val/loss:up", "x:asc", ":asc", "asc", "<b>:desc"], FIELDS) == {}
    assert sorting_of(["a:b:asc"], {"a:b": "c0"}) == {"c0": "asc"}


def test_a_column_keeps_its_field_while_others_come_and_go() -> None:
    assert fields_of(["a", "b"]) == {"a": "c0", "b": "c1"}
    assert fields_of(["b", "c"], ["a", "b"]) == {"b": "c1", "c": "c2"}


@pytest.fixture
def six(tmp_path: Path, module_runs: Callable[[Path], Path]) -> Path:
    return module_runs(tmp_path / "runs")


def fields_in(seen: Seen) -> dict[str, list[str]]:
    return parse_qs(urlsplit(seen.page.url).query)


def test_filters_and_order_are_in_the_address_and_come_back(six: Path, look: Callable[..., Seen]) -> None:
    seen = look(six)
    seen.open("/?cols=model.num_heads~seed~val/loss", "#runs-grid .ag-row")
    seen.until(f"() => {ROWS} === 6")
    heads = seen.page.locator("#runs-grid .ag-floating-filter-input input:not([disabled])").nth(2)
    heads.fill("2")
    seen.until(f"() => {ROWS} === 2")
    seen.page.locator("#runs-grid .ag-header-cell-text", has_text="loss").click()
    seen.page.locator("#runs-grid .ag-header-cell-text", has_text="loss").click()
    seen.until("() => location.search.includes('sort=') && location.search.includes('filter=')")
    seen.until("() => new URLSearchParams(location.search).get('sort') === 'val/loss:desc'")
    assert fields_in(seen)["filter"] == ['{"model.num_heads":[["equals",2]]}']

    losses = {f"gpt/{run.name}": result(run).get("val/loss") or math.nan for run in (six / "gpt").iterdir()}
    wanted = sorted(("gpt/r2", "gpt/r3"), key=lambda run: -losses[run])
    for again in (lambda: None, seen.page.reload):
        again()
        seen.until(f"() => {ROWS} === 2")
        seen.until("() => document.querySelector('#runs-grid [aria-sort=descending]')")
        assert seen.column("runs-grid", "run") == wanted
        assert seen.page.locator("#runs-grid .ag-floating-filter-input input").nth(2).input_value() == "2"

    seen.pick("runs-columns", "seed")  # a column goes: the filter and the order stay with their own
    seen.until("() => new URLSearchParams(location.search).get('cols') === 'model.num_heads~val/loss'")
    heads_of = "[...document.querySelectorAll('#runs-grid .ag-header-cell-text')].map(head => head.textContent)"
    seen.until(f"() => !{heads_of}.includes('seed')")
    assert seen.column("runs-grid", "run") == wanted
    assert fields_in(seen)["sort"] == ["val/loss:desc"] and "filter" in fields_in(seen)
    seen.page.reload()
    seen.until(f"() => {ROWS} === 2")
    assert seen.column("runs-grid", "run") == wanted
    seen.pick("runs-columns", "model.num_heads")  # with its column the filter goes
    seen.until(f"() => {ROWS} === 6")
    seen.until("() => !location.search.includes('filter=')")
    seen.quiet()


def test_hostile_addresses_are_answered_and_ignored(six: Path) -> None:
    running = serve(six)
    site = next(running)
    try:
        for text in (*XSS, "[" * 9_000, '{"val/loss":[["lessThan",1e999]]}', "%ff", "~" * 500):
            made = quote(text, safe="", errors="surrogatepass") if text != "%ff" else text
            assert site.ask(path=f"/?filter={made}&sort={made}&cols={made}&group={made}")[0] == 200
    finally:
        running.close()


@pytest.mark.slow
@pytest.mark.parametrize("place", range(0, 60, 12))
def test_hostile_addresses_never_become_markup(six: Path, look: Callable[..., Seen], place: int) -> None:
    seen = look(six)
    for text in XSS[place : place + 12 : 4]:
        filters = json.dumps({"run": [["notContains", text]], text: [["contains", text]], "seed": [[text, 1]]})
        address = f"filter={quote(filters)}&sort={quote(text)}:asc~seed:{quote(text)}&cols=seed~val/loss"
        seen.open(f"/?{address}", "#runs-grid .ag-row")
        seen.until(f"() => {ROWS} === 6")  # no run's name holds it, and the other filters are none
        found = seen.page.evaluate(FOUND)
        assert found["bad"] == [] and found["handlers"] == 0 and found["images"] == [] and found["links"] == []
    seen.quiet()
