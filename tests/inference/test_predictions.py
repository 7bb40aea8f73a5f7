"""`evaluate` saves what was predicted of each row; summed up, that is the metrics it prints."""

from pathlib import Path

import pytest

from lit_transformer.compare.bootstrap import SCORES, ratio
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.inference.load import open_run, run_config
from lit_transformer.records.atomic import read_json
from lit_transformer.records.predictions import predictions_file, read_predictions
from lit_transformer.training.registry import open_prepared
from tests.inference.conftest import Runs
from tests.inference.runs import Shell

NAMES = ("translation", "answers", "bert classes", "gpt text", "t5 text", "choices", "choices text")


def rows_there(path: Path, split: str) -> int:
    """Rows of a split as it was prepared."""
    prepared = open_prepared(run_config(open_run(path)), read_json(open_run(path).prepared_file))
    assert isinstance(prepared, PreparedRows)
    return prepared.rows[split]


@pytest.mark.parametrize("name", NAMES)
def test_predictions_add_up_to_the_metrics(runs: Runs, name: str) -> None:
    made = runs(name)
    metrics = evaluate(made.path, "test")
    found = read_predictions(made.path, "test")
    assert [row["row"] for row in found.rows] == list(range(rows_there(made.path, "test")))
    shared = {metric for metric in found.statistics if f"test/{metric}" in metrics}
    assert shared
    for metric in shared:
        sums = found.statistics[metric].sum(axis=0, keepdims=True)
        assert SCORES.get(metric, ratio)(sums)[0] == pytest.approx(metrics[f"test/{metric}"])


def test_texts_stand_beside_their_references(runs: Runs) -> None:
    made = runs("translation")
    evaluate(made.path, "test")
    for row in read_predictions(made.path, "test").rows:
        hits, count = row["statistics"]["exact_match"]  # type: ignore[index]
        assert (row["hypothesis"].strip() == row["reference"].strip()) == bool(hits) and count == 1  # type: ignore[attr-defined]


def test_language_models_predict_no_rows_and_a_folder_that_takes_no_file_loses_no_metric(
    runs: Runs, ask: Shell, tmp_path: Path
) -> None:
    evaluate(runs("gpt").path, "test")
    assert not predictions_file(runs("gpt").path, "test").exists()
    path = runs("choices").path
    (path / "predictions").rename(tmp_path / "away") if (path / "predictions").exists() else None
    (path / "predictions").write_text("a file where the folder would be")
    status, out, err = ask("evaluate", path)
    (path / "predictions").unlink()
    assert status == 0 and "test/accuracy" in out and "predictions could not be saved in" in err
