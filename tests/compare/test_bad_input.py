"""Whatever a folder of runs holds, `compare` says what it found and writes its page."""

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lit_transformer.compare import report
from lit_transformer.compare.comparison import read_comparison
from lit_transformer.compare.verb import compare
from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import RunFolder
from tests.compare.test_report import page_data
from tests.strangers import as_stranger, closed


@pytest.fixture(autouse=True)
def small_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves plotly's 4.8 MB out of the pages written here."""
    monkeypatch.setattr(report, "get_plotlyjs", lambda: "")


def refuse(name: str) -> float:
    raise AssertionError(name)


def shown(directory: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, object], str]:
    """What the terminal, the JSON document and the page say."""
    compare(directory)
    table = capsys.readouterr().out
    compare(directory, json=True)
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    return table, document, (directory / "report.html").read_text(encoding="utf-8")


def test_an_empty_folder_says_how_to_make_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run here or below.*lit-transformer fit"):
        compare(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_is_being_written(
    nine: Path, run_writer: Callable[..., RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (RunFolder(nine / "cells" / f"num_heads={heads},num_layers=1") for heads in (1, 2))
    one.result_file.unlink()
    one.metrics_file.unlink()
    two.result_file.write_text('{"version": 1, "sta')
    two.metrics_file.write_bytes(two.metrics_file.read_bytes()[:-9])
    with one.lock:
        table, document, page = shown(nine, capsys)
    assert "running" in table and "result.json is damaged" in table and len(document["cells"]) == 9  # type: ignore[arg-type]
    assert page.count('class="state complete"') == 7 * 2


def test_a_truncated_log_still_draws_what_it_holds(nine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(nine / "cells/num_heads=1,num_layers=1")
    text = run.metrics_file.read_bytes()
    run.metrics_file.write_bytes(text[: len(text) // 2] + b"\xff\xfe\x00")
    page = shown(nine, capsys)[2]
    steps = [json.loads(line)["step"] for line in text[: len(text) // 2].splitlines()[:-1]]
    curves = page_data(page)["curves"]
    drawn = [trace["x"] for trace in curves[0]["data"] if trace["name"] == "cells/num_heads=1,num_layers=1"]
    assert drawn[0] == steps


def test_a_run_of_a_future_version_is_shown_with_what_is_known(nine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(nine / "cells/num_heads=1,num_layers=1")
    result = json.loads(run.result_file.read_text())
    run.result_file.write_text(json.dumps({**result, "version": 9, "metrics": {"val/loss": {"mean": 1}, "val/new": 2}}))
    run.config_file.write_text(run.config_file.read_text() + "quantum: {bits: 3}\n")
    table, document, page = shown(nine, capsys)
    assert "result.json has version 9, known is 1" in page and "quantum.bits" in page
    first = next(row for row in document["runs"] if row["run"].endswith("num_heads=1,num_layers=1"))  # type: ignore[attr-defined]
    assert first["val/loss"] is None and first["val/new"] == 2 and first["status"] == "complete" and table


@pytest.mark.slow
def test_ten_thousand_columns(
    tmp_path: Path, run_writer: Callable[..., RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    for heads in (1, 2, 4):
        many = {f"k{index}": heads + index for index in range(10_000)}
        run = run_writer(tmp_path / f"r{heads}", heads=heads, other=many)
        result = json.loads(run.result_file.read_text())
        result["metrics"] |= {f"val/m{index}": heads * 0.1 + index for index in range(10_000)}
        run.result_file.write_text(json.dumps(result))
    comparison = read_comparison(tmp_path)
    assert len(comparison.runs.columns) > 20_000 and len(comparison.factors) > 10_000
    compare(tmp_path, json=True)
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert len(document["runs"]) == 3 and len(document["runs"][0]) > 20_000 and len(document["cells"][0]) < 200
    assert len((tmp_path / "report.html").read_bytes()) < 3_000_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_numbers_that_are_none_everywhere(
    tmp_path: Path, sweep_writer: Callable[..., Path], capsys: pytest.CaptureFixture[str], value: float
) -> None:
    sweep = sweep_writer(tmp_path / "s", [1, 2], [1, 2], [0, 1, 2])
    for folder in list((sweep / "cells").iterdir()):
        run = RunFolder(folder)
        result = json.loads(run.result_file.read_text())
        numbers = {key: value for key, known in result.items() if isinstance(known, float | int) and key != "version"}
        result |= {**numbers, "metrics": dict.fromkeys(result["metrics"], value)}
        run.result_file.write_text(json.dumps(result))
        run.metrics_file.write_text("".join(json.dumps({"step": step, "val/loss": value}) + "\n" for step in (1, 2)))
        run.system_file.write_text(json.dumps({"step": value, "seconds": value}) + "\n")
    (sweep / "stops.jsonl").write_text(json.dumps({"cell": folder.name, "band": 1, "value": value, "threshold": value}))
    _, document, page = shown(sweep, capsys)
    assert len(document["cells"]) == 4 and {cell["standing"] for cell in document["cells"]} == {""}  # type: ignore[attr-defined, arg-type]
    assert "No ranking is claimed" in page or "No complete run has a val/loss yet" in page


def test_names_in_chinese_and_arabic(
    tmp_path: Path, run_writer: Callable[..., RunFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("实验", "很大"), ("تجربة", "كبير")):
        run = run_writer(tmp_path / "运行" / name, **{"设置": {"مفتاح": value}})
        result = json.loads(run.result_file.read_text())
        run.result_file.write_text(json.dumps({**result, "metrics": {**result["metrics"], "val/损失": 1.0}}))
    table, document, page = shown(tmp_path, capsys)
    for text in ("实验", "تجربة", "很大", "كبير"):
        assert text in table and text in page
    assert document["swept"] == ["设置.مفتاح"] and "val/损失" in document["runs"][0]  # type: ignore[index]


@pytest.fixture
def stranger(sweep_writer: Callable[..., Path]) -> Iterator[Path]:
    """A sweep that another user may read, but for one cell; the test goes on as that user."""
    root = Path(tempfile.mkdtemp())
    sweep = sweep_writer(root / "s", [1, 2], [1, 2], [0])
    sweep.chmod(0o777)
    root.chmod(0o755)
    with as_stranger():
        yield sweep
    for path in root.rglob("*"):
        path.chmod(0o700) if path.is_dir() else None
    shutil.rmtree(root)


def test_a_cell_that_may_not_be_read_hides_no_other(stranger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closed(stranger / "cells" / "num_heads=1,num_layers=1")
    document = shown(stranger, capsys)[1]
    states = [row["status"] for row in document["runs"]]  # type: ignore[attr-defined]
    assert states.count("complete") == 3 and len(states) == 4


def test_a_folder_that_may_not_be_read_is_named(stranger: Path) -> None:
    closed(stranger)
    with pytest.raises(UserError, match=r"s: cannot be read \(Permission denied\); give a folder of runs that you may"):
        compare(stranger)
    with pytest.raises(UserError, match="no run here or below"):
        compare(stranger.parent)
