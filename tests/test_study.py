"""`make study`: the verdict that stands in README is the one of the sweep's files."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.judging import judge
from lit_transformer.records.run_folder import RunFolder
from tests.compare.conftest import write_sweep

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def study():
    folder = ROOT / "tests" / "benchmarks"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("study", folder / "study.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


def test_the_verdict_names_what_was_planted(study, tmp_path):
    sweep = write_sweep(tmp_path / "study", [1, 2, 4, 8], [1, 2, 4], [0, 1, 2])
    random = np.random.default_rng(0)
    for folder in (sweep / "cells").iterdir():
        run = RunFolder(folder)
        result, model = run.read_result(), run.read_config()["model"]
        result["metrics"]["val/loss"] = 1.8 + 0.1 * (model["num_heads"] == 1) + 0.01 * random.normal()
        run.result_file.write_text(json.dumps(result))
    comparison = read_comparison(sweep)
    judged = judge(comparison)
    text = study.text_of(comparison, judged, pictured=False)
    assert "Found: one head loses here too; 4 and 8 heads cannot be told from the best." in text
    assert "worse: 1 by 0.1" in text and "Share of the variance of val/loss: num_heads " in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 6 and sum("**" in line for line in table) == 1
    best = judged.cells.iloc[0]
    assert f"**{best['mean']:.3f} ± {best['sd']:.3f}**" in text
    page = study.with_verdict((ROOT / "README.md").read_text(), text)
    assert text in page and study.with_verdict(page, "x\n").count("x\n") and "It was not run yet" not in page


def test_a_page_without_marks_is_refused(study):
    with pytest.raises(ValueError, match="lacks the lines"):
        study.with_verdict("# nothing", "text")


def test_one_seed_or_one_heads_claims_nothing(study, tmp_path):
    judged = judge(read_comparison(write_sweep(tmp_path / "one", [1, 2], [1], [0])))
    assert study.known(judged) == "Heads could not be compared."
