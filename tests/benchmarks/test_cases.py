"""Cases: every system has its three shapes and three works, both sides do the same, and what differs is refused."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from case import Case, Pace, check, measure
from ceiling import Product
from counting import count_flops
from figures import Figure, with_part
from growth import FROM, TO, growth
from page import charts, table, write_page
from systems import bert, encoder_decoder, glm, gpt, litgpt_gpt, segmenter, t5, tutorial

MODULES = (gpt, litgpt_gpt, bert, t5, encoder_decoder, tutorial, glm, segmenter)
INFERENCE = {"generation", "beam search", "filling", "segmentation"}


def a_case(**changes) -> Case:
    case = Case(
        system="GPT", peer="a peer", work="training", shape="demo", dropout=0.0, units=100, apart=0.5,
        product=Product(8, 8, 8), ours=lambda: lambda: 1.0, theirs=lambda: lambda: 1.2,
    )  # fmt: skip
    return replace(case, **changes)


@pytest.mark.parametrize("module", MODULES)
def test_every_system_has_three_works_at_three_shapes(module):
    cases = list(module.cases())
    assert {case.shape for case in cases} == {"demo", "d 256", "d 512"}
    for shape in ("demo", "d 256", "d 512"):
        works = {case.work for case in cases if case.shape == shape}
        assert works > {"training", "evaluation"} and len(works & INFERENCE) == 1
    assert len({(case.name, case.peer) for case in cases}) == len(cases)
    assert all(case.dropout is not None for case in cases if case.work == "training")


@pytest.mark.parametrize("module", [gpt, bert, t5, encoder_decoder, tutorial, glm])
def test_both_sides_do_the_same_work(module):
    for case in module.cases():
        if case.shape == "demo" and case.work in ("training", "evaluation"):
            found = measure(case, Pace(budget=0.0, least=1))
            assert found[0].value > 0 and found[0].facts["flops_ours"] <= 1.03 * found[0].facts["flops_theirs"]


def test_the_segmenters_have_about_as_many_flops():
    with torch.device("meta"):
        images = torch.empty(2, 3, segmenter.SIDE, segmenter.SIDE)
        for size in segmenter.SIZES.values():
            both = [make(size) for make in (segmenter.network, segmenter.peer)]
            ours, theirs = (count_flops(partial(net, images))[1] for net in both)
            assert ours == pytest.approx(theirs, rel=0.1)


@pytest.mark.parametrize(("theirs", "apart"), [(1.6, 0.5), (float("nan"), 0.5)])
def test_other_work_is_refused(theirs, apart):
    with pytest.raises(RuntimeError, match="do different work"):
        check(a_case(apart=apart), {"ours": 1.0, "theirs": theirs})
    check(a_case(apart=None), {"ours": 1.0, "theirs": theirs})


def test_other_texts_are_refused():
    with pytest.raises(RuntimeError, match="the results differ"):
        check(a_case(apart=None, same=True), {"ours": [[1, 2]], "theirs": [[1, 3]]})


def test_a_measurement_says_bound_spread_and_share():
    ratio, share = measure(a_case(required=0.0, share=50.0), Pace(budget=0.0, least=5))
    assert ratio.met and ratio.facts["rounds"] == 5 and "of 5 rounds" in ratio.note
    assert ratio.facts["low"] <= ratio.value <= ratio.facts["high"]
    assert share.value == 0.0 and share.met is False and "8 x 8 x 8" in share.note


def test_growth_is_read_from_the_shares():
    assert growth(60.0, 50.0) == pytest.approx(1.2) and FROM < TO


def test_a_part_replaces_its_own_figures_in_their_place():
    known = [{"name": name, "part": part} for name, part in (("a", "x"), ("b", "y"), ("c", "x"), ("d", "z"))]
    new = [{"name": "e", "part": "x"}]
    assert [row["name"] for row in with_part(known, new, "x")] == ["e", "b", "d"]
    assert [row["name"] for row in with_part(known, new, "w")] == ["a", "b", "c", "d", "e"]


def a_row(**changes) -> dict:
    found = measure(a_case(required=1.0), Pace(budget=0.0, least=1))[0]
    row = {**vars(found), "met": found.met, "machine": "a <machine>"}
    return {**row, **changes}


def test_the_page_draws_every_kind_of_figure_and_asks_for_nothing(tmp_path):
    case = a_row()
    grown = {**case["facts"], "axis": "context", "value": 64}
    memory = {"memory": True, "system": "GPT", "ours": 1e6, "theirs": 2e6}
    rows = [case, *(a_row(facts=facts) for facts in (grown, memory, {"verb": "fit"}))]
    assert len(charts(rows)) == 5 and charts([a_row(facts={})]) == []
    assert table(rows).count("<tr>") == 5 and "a &lt;machine&gt;" in table(rows)
    file = tmp_path / "page.html"
    write_page(rows, file)
    text = file.read_text()
    assert "Plotly.newPlot" in text and "<script src" not in text and "<link" not in text


def test_a_figure_without_a_bound_is_only_shown():
    assert Figure("a", 1.0, "s").met is None and Figure("a", 1.0, "s", 2.0).met and not Figure("a", 3.0, "s", 2.0).met
