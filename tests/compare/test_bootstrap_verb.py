"""`compare DIR --bootstrap SPLIT`: runs on the same rows, by what `evaluate` saved."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.cli import main
from lit_transformer.records.predictions import write_predictions
from lit_transformer.records.run_folder import RunFolder

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    def shell(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lit-transformer", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return (caught.value.code or 0, *capsys.readouterr())

    return shell


def save(folder: Path, hits: list[int], split: str = "test", first: int = 0) -> None:
    rows = [
        {"row": first + index, "label": 1, "predicted": hit, "statistics": {"accuracy": [hit, 1]}}
        for index, hit in enumerate(hits)
    ]
    write_predictions(folder, split, rows)


@pytest.fixture
def three(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> Path:
    """A run, one that is hardly better, and one that is much worse, on 400 rows; a fourth was not evaluated."""
    random = np.random.default_rng(0)
    good = (random.random(400) < 0.8).astype(int)
    near = good.copy()
    near[:3] = 1 - near[:3]
    bad = good * (random.random(400) < 0.6)
    for name, hits in {"good": good, "near": near, "bad": bad}.items():
        save(run_writer(tmp_path / name).path, hits.tolist())
    run_writer(tmp_path / "unseen")
    return tmp_path


def test_the_table_tells_worse_runs_from_those_that_are_near(ask: Shell, three: Path) -> None:
    status, out, err = ask("compare", three, "--bootstrap", "test", "--json")
    assert status == 0, err
    document = json.loads(out)
    lines = {line["run"]: line for line in document["metrics"]["accuracy"]}
    assert document["rows"] == 400 and set(lines) == {"good", "near", "bad"}
    assert lines["bad"]["worse"] and not lines["good"]["worse"] and not lines["near"]["worse"]
    assert all(line["low"] < line["value"] < line["high"] for line in lines.values())
    assert document["metrics"]["accuracy"][-1]["run"] == "bad" and lines["bad"]["behind"] > 0.2
    status, out, _ = ask("compare", three, "--bootstrap", "test")
    assert status == 0 and "over 400 rows of the test split" in out
    said = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    assert "worse than the best" in said["bad"] and sum("cannot be told" in line for line in said.values()) == 1
    assert not (three / "report.html").exists()


def test_what_cannot_be_compared_is_said(ask: Shell, three: Path, run_writer: Callable[..., RunFolder]) -> None:
    save(three / "good", [1, 0], "val")
    for arguments, words in (
        (("--bootstrap", "train"), "--bootstrap\n  got      train\n  allowed  test, val"),
        (("--bootstrap", "val"), "got      1 of 4 runs\n  fix      lit-transformer evaluate RUN --split val"),
        (("--bootstrap", "test", "--csv"), "--bootstrap prints its own tables"),
    ):
        status, out, err = ask("compare", three, *arguments)
        assert (status, out) == (2, "") and words in err
    save(three / "near", [1, 0], "val", first=1)
    assert "were not evaluated on the same rows of the val split" in ask("compare", three, "--bootstrap", "val")[2]
    (three / "near" / "predictions" / "val.jsonl").write_text("{")
    assert "cannot be used: it is damaged" in ask("compare", three, "--bootstrap", "val")[2]
