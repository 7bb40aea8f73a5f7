"""Saved predictions come back as they were, and what is missing, damaged or of other rows is said."""

from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.records.predictions import (
    paired_statistics,
    predictions_file,
    read_predictions,
    write_predictions,
)


def rows(*hits: int, first: int = 0) -> list[dict[str, object]]:
    return [
        {"row": first + index, "label": 1, "predicted": hit, "statistics": {"accuracy": [hit, 1]}}
        for index, hit in enumerate(hits)
    ]


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    given = rows(1, 0, 1)
    write_predictions(tmp_path, "test", given[::-1])
    found = read_predictions(tmp_path, "test")
    assert found.rows == given and found.statistics["accuracy"].tolist() == [[1, 1], [0, 1], [1, 1]]


def test_what_is_not_there_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there\n  fix      save predictions with: lit-transformer evaluate"):
        read_predictions(tmp_path, "test")
    file = write_predictions(tmp_path, "test", rows(1, 0))
    whole = file.read_text()
    for damaged in (
        whole[:-5],
        whole.rsplit("\n", 2)[0],
        "",
        "[]\n",
        "{}\n",
        "\xff",
        whole.replace('"version": 1', '"version": 2'),
        whole.replace("[0, 1]", "[0]"),
    ):
        file.write_text(damaged, encoding="latin-1")
        with pytest.raises(UserError, match="cannot be used: it is damaged or of another version") as caught:
            read_predictions(tmp_path, "test")
        assert "\n  fix      save it again" in str(caught.value)
    assert predictions_file(tmp_path, "val").name == "val.jsonl"


def test_runs_are_paired_over_the_same_rows_alone(tmp_path: Path) -> None:
    found = {}
    for name, given in {"a": rows(1, 0), "b": rows(0, 0), "c": rows(1, 0, first=1), "d": rows(1)}.items():
        write_predictions(tmp_path / name, "test", given)
        found[name] = read_predictions(tmp_path / name, "test")
    pair = paired_statistics([found["a"], found["b"]], "accuracy")
    assert [each.tolist() for each in pair] == [[[1, 1], [0, 1]], [[0, 1], [0, 1]]]
    for other in "cd":
        with pytest.raises(UserError, match=f"a and .*{other} were not evaluated on the same rows of the test split"):
            paired_statistics([found["a"], found[other]], "accuracy")
    with pytest.raises(UserError, match="have no bleu\n  allowed  accuracy"):
        paired_statistics([found["a"], found["b"]], "bleu")
