"""Saved predictions of runs compared on the same rows, in the terminal, JSON and page."""

import json
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.page import rows_section
from lit_transformer.compare.paired import OnRows, compare_on_rows, lines_of
from lit_transformer.compare.verb import compare
from lit_transformer.records.predictions import predictions_file, write_predictions

GOOD, BAD, LIKE = (f"cells/num_heads={heads},num_layers=4" for heads in (1, 2, 4))


def save(run: Path, hits: np.ndarray, first: int = 0) -> None:
    rows = [
        {"row": first + index, "predicted": "a", "label": "b", "statistics": {"accuracy": [float(hit), 1.0]}}
        for index, hit in enumerate(hits)
    ]
    write_predictions(run, "test", rows)


@pytest.fixture
def predicted(nine: Path) -> Path:
    """Three of the demo's runs with predictions of 400 rows: accuracy 0.75, 0.5, 0.74."""
    hits = np.arange(400) % 4 != 0
    save(nine / GOOD, hits)
    save(nine / BAD, np.arange(400) % 2 == 0)
    save(nine / LIKE, np.where(np.arange(400) < 4, False, hits))
    return nine


def test_runs_on_the_same_rows_are_compared_with_the_best(predicted: Path) -> None:
    on_rows = compare_on_rows(read_comparison(predicted))
    (found,) = on_rows.metrics
    assert (found.metric, found.rows) == ("test/accuracy", 400) and on_rows.notes == ()
    table = found.runs.set_index("run")
    assert table["value"].to_dict() == {GOOD: 0.75, LIKE: 0.7425, BAD: 0.5}
    assert table["standing"].to_dict() == {GOOD: "best", LIKE: "not told apart", BAD: "worse"}
    error = (0.75 * 0.25 / 400) ** 0.5
    assert table.loc[GOOD, "high"] - table.loc[GOOD, "low"] == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_terminal_json_and_page_carry_it(predicted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(predicted)
    assert f"test/accuracy on the same 400 rows: {GOOD} is best with 0.750 [" in capsys.readouterr().out
    compare(predicted, json=True)
    (each,) = json.loads(capsys.readouterr().out)["on_rows"]
    assert each["rows"] == 400 and [row["standing"] for row in each["runs"]] == ["best", "not told apart", "worse"]
    page = (predicted / "report.html").read_text()
    assert "On the same rows" in page and page.count("cannot be told from the best") == 1


def test_damaged_and_other_rows_are_said_and_hide_nothing(predicted: Path) -> None:
    predictions_file(predicted / LIKE, "test").write_text("{")
    on_rows = compare_on_rows(read_comparison(predicted))
    assert len(on_rows.metrics[0].runs) == 2 and "cannot be used" in on_rows.notes[0]
    save(predicted / LIKE, np.ones(400), first=1)
    on_rows = compare_on_rows(read_comparison(predicted))
    assert on_rows.metrics == () and "not evaluated on the same rows" in on_rows.notes[0]
    assert on_rows.notes[0] in lines_of(on_rows) and "not evaluated" in rows_section(on_rows)


def test_nothing_saved_says_nothing(nine: Path) -> None:
    assert compare_on_rows(read_comparison(nine)) == OnRows() and rows_section(OnRows()) == ""
