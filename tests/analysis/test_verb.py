"""`analyze` from the shell: what it prints and writes, and what it says of what it cannot analyze."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

from lit_transformer.analysis.few_heads import Match
from lit_transformer.analysis.heads import analyze_heads
from lit_transformer.analysis.importance import gradient_scores
from lit_transformer.analysis.pruning import least_first
from lit_transformer.analysis.subject import open_subject
from lit_transformer.compare.analysis_files import read_heads, read_sweep_analysis
from lit_transformer.records.analysis import head_arrays_file, heads_file, sweep_analysis_file
from tests.analysis.conftest import Fresh
from tests.analysis.sweeps import damaged_copy, heads_sweep, law_sweep, told
from tests.inference.elsewhere import DEVICE, SecondDevice
from tests.inference.runs import Shell

SAID = {
    "trained": "trained with few heads is better",
    "pruned": "pruned to few heads is better",
    "unclear": "cannot be told apart",
}


@pytest.mark.parametrize("name", ["gpt words", "translation"])
def test_a_run_gets_a_table_and_files_that_agree(fresh: Fresh, ask: Shell, name: str) -> None:
    path = fresh(name)
    status, out, err = ask("analyze", path, "--batches", 2, "--json")
    assert status == 0, err
    document = told(out)
    assert err.rstrip().endswith(f"wrote {heads_file(path)}") and json.loads(heads_file(path).read_text()) == document
    found, arrays = read_heads(path), np.load(head_arrays_file(path))
    assert found is not None and found.batches == document["batches"] and found.model == document["model"]
    kinds = {"gpt words": {"decoder"}, "translation": {"encoder", "decoder", "cross"}}[name]
    assert set(found.heads["attention"]) == kinds and len(arrays.files) == 4 * len(kinds)
    for kind, measure in (key.split("/") for key in arrays.files):
        of = found.heads[found.heads["attention"] == kind]
        np.testing.assert_array_equal(arrays[f"{kind}/{measure}"].ravel(), of[measure].to_numpy())
    assert set(found.curves["by"]) == {"gradient", "removal", "random"} and found.curves["number"].nunique() == 7
    whole = found.curves[found.curves["share"] == 0]
    assert (whole["val/loss"] == document["metrics"]["val/loss"]).all()
    status, out, _ = ask("analyze", path, "--batches", 2)
    assert status == 0 and "loss without it" in out and "mean of 5 random orders" in out
    assert sum(line.startswith("│") for line in out.splitlines()) == len(found.heads)


def test_few_heads_against_pruned_ones(settings: dict[str, list[str]], ask: Shell, tmp_path: Path) -> None:
    sweep = heads_sweep(tmp_path / "sweep", settings["gpt words"], (1, 2, 4), (0, 1))
    status, out, err = ask("analyze", sweep, "--batches", 1, "--json")
    assert status == 0, err
    document = told(out)
    assert document["scaling"] is None and "10,000 parameters" in document["scaling_reason"]  # type: ignore[operator]
    matches = {match["heads"]: match for match in document["few_heads"]}  # type: ignore[union-attr, index]
    assert set(matches) == {1, 2}
    assert all(match["largest"] == 4 and match["seeds"] == [0, 1] for match in matches.values())
    for seed in (0, 1):
        large = open_subject(sweep / "cells" / f"h4s{seed}", batches=1, device="cpu")
        order = least_first(gradient_scores(large))
        for heads, match in matches.items():
            assert match["pruned"][seed] == large.loss(order[: 8 - 2 * heads])
            few = open_subject(sweep / "cells" / f"h{heads}s{seed}", batches=1, device="cpu")
            assert match["trained"][seed] == few.loss()
    found = read_sweep_analysis(sweep)
    assert found is not None and found.scaling is None and found.matches is not None and len(found.matches) == 2
    status, out, err = ask("analyze", sweep, "--batches", 1)
    assert status == 0 and "a scaling fit needs cells of more sizes" in err
    rows = [[part.strip() for part in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert {row[0]: row[-1] for row in rows} == {str(heads): SAID[match["verdict"]] for heads, match in matches.items()}


def test_intervals_of_pairs_are_those_of_the_t_test() -> None:
    one, other = [2.1, 2.3, 2.2, 2.6], [2.2, 2.5, 2.2, 2.9]
    found = Match({}, 1, 4, trained=one, pruned=other).to_json()
    expected = ttest_rel(other, one).confidence_interval()
    assert [found[name] for name in ("difference", "low", "high")] == pytest.approx([0.15, expected.low, expected.high])
    alone = Match({}, 1, 4, trained=[1.0], pruned=[1.1]).to_json()
    assert alone["verdict"] == "one seed" and np.isnan([alone["low"], alone["high"]]).all()  # type: ignore[list-item]


def test_a_scaling_fit_finds_the_planted_law_and_predicts_the_cell_it_has_not_seen(ask: Shell, tmp_path: Path) -> None:
    sizes = [(size, 1e7, 1.5 + 300 / size**0.4) for size in (1e5, 2e5, 4e5, 8e5, 1.6e6, 3.2e6)]
    sweep = law_sweep(tmp_path / "law", sizes, seeds=2)
    status, out, err = ask("analyze", sweep)
    assert status == 0 and "few heads against pruned ones needs a sweep over model.num_heads" in err
    document = json.loads(sweep_analysis_file(sweep).read_text())["scaling"]
    for name, value in (("E", 1.5), ("A", 300), ("alpha", 0.4)):
        found = document["coefficients"][name]
        assert found["value"] == pytest.approx(value, rel=1e-3)
        assert found["low"] <= value * (1 + 1e-6) and value * (1 - 1e-6) <= found["high"]
    held = document["held_out"]
    assert held["parameters"] == 3.2e6 and held["n"] == 2 and held["cells_seen"] == 5
    assert abs(held["error"]) < 1e-4 and "held out: num_layers 6 (3.2 M parameters)" in out and "alpha" in out
    assert [cell["sd"] == pytest.approx(0.01 / 2**0.5) for cell in document["cells"]] == [True] * 6
    assert document["line"]["parameters"][-1] == pytest.approx(6.4e6)


def test_what_cannot_be_analyzed_is_said(fresh: Fresh, ask: Shell, tmp_path: Path) -> None:
    bare = damaged_copy(fresh("gpt words"), tmp_path / "bare")
    empty = law_sweep(tmp_path / "empty", [(1e5, 1e6, 2.0)])
    (empty / "cells" / "c0s0" / "result.json").unlink()
    three = law_sweep(tmp_path / "three", [(size, 1e6, 2.0) for size in (1e5, 2e5, 4e5)])
    for arguments, words in (
        ((fresh("gpt words"), "--batches", 0), "--batches\n  got      0\n  allowed  1 or more"),
        ((fresh("gpt words"), "--batches", "all"), "'--batches'"),
        ((three, "--batches", -1), "--batches\n  got      -1"),
        ((fresh("gpt words"), "--device", "tpu"), "--device\n  got      tpu"),
        ((three, "--device", "tpu"), "--device\n  got      tpu"),
        ((bare,), "has no good checkpoint"),
        ((tmp_path / "nowhere",), "There is no folder"),
        ((tmp_path,), "is no run's folder"),
        ((empty,), "has no complete cell to analyze\n  got      stopped"),
        ((three,), "needs a sweep over model.num_heads"),
        ((three,), "100,000, 200,000, 400,000 parameters"),
    ):
        status, out, err = ask("analyze", *arguments)
        assert (status, out) == (2, "") and words in err and "Traceback" not in err, err


def test_a_segmenter_has_no_heads(ask: Shell, tmp_path: Path) -> None:
    from lit_transformer.config.layers import shell_layer
    from lit_transformer.config.load import load_layers
    from lit_transformer.config.show import to_plain
    from lit_transformer.records.run_folder import RunFolder

    config = load_layers([shell_layer(["task=segmentation", "model.kind=segmenter"])]).config
    RunFolder(tmp_path / "run").freeze(to_plain(config), {}, {})
    status, _, err = ask("analyze", tmp_path / "run")
    assert status == 2 and "has none\n  got      model.kind segmenter\n  allowed  encoder_decoder, bert, gpt" in err


@pytest.mark.parametrize("name", ["translation", "bert", "glm", "choices text", "pairs"])
def test_nothing_is_left_on_another_device(fresh: Fresh, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    here = analyze_heads(fresh(name), batches=1, device="cpu").to_json()
    monkeypatch.setattr("lit_transformer.analysis.subject.find_device", {"second": DEVICE}.__getitem__)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which the made-up device does not know
    with SecondDevice():
        there = analyze_heads(fresh(name), batches=1, device="second").to_json()
    for one, other in zip(here["heads"], there["heads"], strict=True):  # type: ignore[call-overload]
        numbers = [measure for measure in ("gradient", "removal", "entropy", "distance") if one[measure] is not None]
        assert [other[name] for name in numbers] == pytest.approx([one[name] for name in numbers], rel=1e-3, abs=1e-6)
