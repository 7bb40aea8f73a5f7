"""`compare`: the answer on standard output, the files, and the mistakes."""

import csv
import io
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lit_transformer.compare import report
from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.judging import judge
from lit_transformer.compare.verb import compare
from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import RunFolder


@pytest.fixture(autouse=True)
def small_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves plotly's 4.8 MB out of the pages written here."""
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "")


def test_table_is_best_first_and_stdout_has_it_alone(nine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(nine)
    out, err = capsys.readouterr()
    shown = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    cells = judge(read_comparison(nine)).cells
    assert [line[2].strip() for line in shown] == [f"{mean:.3f}" for mean in cells["mean"]]
    assert [line[0].strip() for line in shown] == [str(heads) for heads in cells["model.num_heads"]]
    assert "One seed" in out and "wrote" not in out and f"wrote {nine / 'report.html'}" in err
    assert pd.read_csv(nine / "results.csv")["val/loss"].tolist() == read_comparison(nine).runs["val/loss"].tolist()


def test_seeds_show_as_mean_and_sd(seeded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(seeded)
    cells = judge(read_comparison(seeded)).cells
    assert f"{cells['mean'][0]:.3f} ± {cells['sd'][0]:.3f}" in capsys.readouterr().out


def test_seeds_alone_are_one_cell(seeds_alone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = [float(RunFolder(run).read_result()["metrics"]["val/loss"]) for run in (seeds_alone / "cells").iterdir()]
    compare(seeds_alone)
    shown = capsys.readouterr().out
    assert (
        f"{statistics.mean(losses):.3f} ± {statistics.stdev(losses):.3f}" in shown
        and (seeds_alone / "report.html").is_file()
    )


def test_csv_has_a_row_for_each_run_and_nothing_else(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(mixed, csv=True)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 8 and {"run", "status", "model.num_heads", "val/loss", "parameters", "error"} <= set(rows[0])
    assert [row["val/loss"] for row in rows if row["status"] == "failed"] == [""]


def test_json_is_one_document_without_nan(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    compare(mixed, json=True)
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert document["metric"] == {"name": "val/loss", "goal": "minimize"}
    assert document["swept"] == ["model.num_heads", "model.num_layers"]
    assert len(document["runs"]) == 8 and document["cells"][0]["mean"] == min(
        run["val/loss"] for run in document["runs"] if run["status"] == "complete"
    )


def test_maximized_metric_of_the_plan_orders_the_table(
    tmp_path: Path,
    plan_writer: Callable[..., None],
    run_writer: Callable[..., RunFolder],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cells = [{"cell": f"n{n}", "values": {"model.num_layers": n}, "problem": None} for n in (1, 2, 4)]
    metric = {"name": "val/accuracy", "goal": "maximize"}
    plan_writer(tmp_path / "s", {"model.num_layers": [1, 2, 4]}, cells, metric=metric)
    for n in (1, 2, 4):
        run_writer(tmp_path / "s" / "cells" / f"n{n}", layers=n)
    compare(tmp_path / "s", json=True)
    assert [cell["model.num_layers"] for cell in json.loads(capsys.readouterr().out)["cells"]] == [4, 2, 1]


def test_single_run_and_loose_runs_compare(
    tmp_path: Path, run_writer: Callable[..., RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    run_writer(tmp_path / "gpt_tiny" / "a", heads=1)
    run_writer(tmp_path / "gpt_tiny" / "b", heads=2)
    compare(tmp_path / "gpt_tiny" / "a")
    compare(tmp_path)
    assert "gpt_tiny/b" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file() and not (tmp_path / "results.csv").exists()


def test_damaged_plan_is_said_and_its_runs_are_shown(nine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (nine / "plan.json").write_text("{")
    compare(nine, csv=True)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 10 and "plan.json is damaged" in err
    assert "plan.json is damaged" in (nine / "report.html").read_text()


def test_terminal_codes_in_names_and_errors_are_not_printed(
    tmp_path: Path, run_writer: Callable[..., RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    run_writer(tmp_path / "a\x1b[2J[red]b", status="failed", error="\x1b]0;title\x07 [bold]x")
    compare(tmp_path)
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out and "[red]b" in out and "[bold]x" in out


def test_both_formats_are_refused(nine: Path) -> None:
    with pytest.raises(UserError, match="--csv and --json"):
        compare(nine, csv=True, json=True)


def test_report_that_cannot_be_written_names_the_file(nine: Path) -> None:
    (nine / "file").write_text("")
    with pytest.raises(UserError, match=r"file/report\.html: cannot be written"):
        compare(nine, html=nine / "file" / "report.html")


def test_full_disk_keeps_the_earlier_report(nine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(nine)
    before = (nine / "report.html").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        compare(nine)
    assert (nine / "report.html").read_bytes() == before and not list(nine.glob(".*.tmp"))
