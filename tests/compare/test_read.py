"""Reading runs: every state shows, a damaged run hides no other, mistakes are named."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lit_transformer.compare.read import FIELDS, read_runs
from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import RunFolder


def row(frame: pd.DataFrame, run: str) -> "pd.Series[object]":
    return frame.set_index("run").loc[run]


def test_sweep_gives_a_row_for_each_cell_with_config_metrics_and_costs(nine: Path) -> None:
    runs = read_runs(nine)
    assert len(runs) == 9 and set(runs["status"]) == {"complete"}
    one = row(runs, "cells/num_heads=2,num_layers=4")
    result = json.loads((nine / "cells/num_heads=2,num_layers=4/result.json").read_text())
    assert one["val/loss"] == result["metrics"]["val/loss"]
    assert {name: one[name] for name in FIELDS} == {name: result[name] for name in FIELDS}
    assert (one["model.num_heads"], one["model.num_layers"], one["optimizer.lr"]) == (2, 4, 1e-3)
    assert runs["model.num_heads"].dtype.kind == "i" and runs["val/loss"].dtype == "float64"
    assert one["model.num_kv_heads"] is None


def test_every_state_of_a_sweep_shows(mixed: Path) -> None:
    with RunFolder(mixed / "cells/num_heads=1,num_layers=2").lock:
        runs = read_runs(mixed)
    found = dict(zip(runs["run"], runs["status"], strict=True))
    assert found == {
        "cells/num_heads=1,num_layers=1": "failed",
        "cells/num_heads=2,num_layers=1": "diverged",
        "cells/num_heads=3,num_layers=1": "impossible",
        "cells/num_heads=4,num_layers=1": "missing",
        "cells/num_heads=1,num_layers=2": "running",
        "cells/num_heads=2,num_layers=2": "complete",
        "cells/num_heads=3,num_layers=2": "complete",
        "cells/num_heads=4,num_layers=2": "complete",
    }
    assert row(runs, "cells/num_heads=3,num_layers=1")["problem"] == "model.d_model 64 is not divisible by 3"
    assert row(runs, "cells/num_heads=2,num_layers=1")["error"] == "loss is NaN"
    assert row(runs, "cells/num_heads=4,num_layers=1")["model.num_heads"] == 4


def test_running_run_shows_its_newest_metrics_past_a_cut_line(mixed: Path) -> None:
    run = RunFolder(mixed / "cells/num_heads=1,num_layers=2")
    with run.metrics_file.open("a") as file:
        file.write('{"step": 210, "train/loss": 1.25}\n{"step": 220, "train/lo')
    one = row(read_runs(mixed), "cells/num_heads=1,num_layers=2")
    last = [r["val/loss"] for r in run.read_metrics() if "val/loss" in r][-1]
    assert one["train/loss"] == 1.25 and one["val/loss"] == last
    assert one["tokens_per_second"] == 1000.0 and one["status"] == "stopped"  # nobody holds the lock


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("result.json", '{"version": 1, "status": "comp', "result.json is damaged"),
        ("result.json", '{"version": 7, "status": "dreaming"}', "result.json has version 7, known is 1"),
        ("result.json", '["a list"]', "result.json is damaged"),
        ("config.yaml", "model: [1, 2\n", "config.yaml is damaged"),
    ],
)
def test_damaged_run_shows_and_hides_no_other(nine: Path, file: str, content: str, error: str) -> None:
    name = "cells/num_heads=1,num_layers=1"
    (nine / name / file).write_text(content)
    runs = read_runs(nine)
    assert len(runs) == 9 and error in str(row(runs, name)["error"])
    assert row(runs, name)["status"] == ("damaged" if file == "result.json" else "complete")
    assert (runs.loc[runs["run"] != name, "status"] == "complete").all()


def test_strange_values_in_a_result_become_nan(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    run = run_writer(tmp_path / "a")
    result = json.loads(run.result_file.read_text())
    result["metrics"] = {"val/loss": None, "val/text": "x", "val/huge": 10**400, "val/bool": True, "\ud800/x": 1.0}
    result |= {"parameters": "many", "tokens": 1e30}
    run.result_file.write_text(json.dumps(result))
    one = read_runs(tmp_path).iloc[0]
    assert one[["val/loss", "val/text", "val/huge", "val/bool"]].isna().all() and one["?/x"] == 1.0
    assert one["parameters"] is pd.NA and one["tokens"] is pd.NA


def test_names_in_chinese_hostile_keys_and_a_config_that_holds_itself(
    tmp_path: Path, run_writer: Callable[..., RunFolder], hostile: str
) -> None:
    run = run_writer(tmp_path / "实验" / "运行", **{hostile: {"键": ["值", 1]}})
    added = "status: mine\nloop: &a\n  again: *a\n"
    run.config_file.write_text(run.config_file.read_text(encoding="utf-8") + added, encoding="utf-8")
    one = read_runs(tmp_path).iloc[0]
    assert one["run"] == "实验/运行" and one[f"{hostile}.键"] == '["值", 1]'
    assert one["status"] == "complete"  # a setting never takes the place of a run's own column


def test_plan_never_leads_out_of_its_folder(
    tmp_path: Path, run_writer: Callable[..., RunFolder], plan_writer: Callable[..., None]
) -> None:
    run_writer(tmp_path / "outside")
    cells = [{"cell": name, "values": {"x": 1}, "problem": None} for name in ("../../outside", "/etc", "..", "", "in")]
    plan_writer(tmp_path / "sweep", {"x": [1]}, cells)
    assert read_runs(tmp_path / "sweep")["run"].tolist() == ["cells/in"]


def test_links_are_not_followed(tmp_path: Path, run_writer: Callable[..., RunFolder]) -> None:
    run_writer(tmp_path / "elsewhere" / "secret")
    run_writer(tmp_path / "runs" / "a")
    os.symlink(tmp_path / "elsewhere" / "secret", tmp_path / "runs" / "link")
    assert read_runs(tmp_path / "runs")["run"].tolist() == ["a"]


def test_swept_value_of_the_plan_wins_over_what_the_run_made_of_it(
    tmp_path: Path, run_writer: Callable[..., RunFolder], plan_writer: Callable[..., None]
) -> None:
    plan_writer(tmp_path, {"model.num_heads": [None]}, [{"cell": "a", "values": {"model.num_heads": None}}])
    run_writer(tmp_path / "cells" / "a", heads=6)
    assert read_runs(tmp_path).iloc[0]["model.num_heads"] is None


def test_a_run_its_sweep_and_the_root_above_are_all_readable(nine: Path) -> None:
    assert read_runs(nine / "cells/num_heads=1,num_layers=1")["run"].tolist() == ["."]
    assert len(read_runs(nine.parent)) == 9
    assert read_runs(str(nine.parent))["run"].iloc[0].startswith("demo/cells/")


def test_missing_folder_names_the_nearest(nine: Path) -> None:
    with pytest.raises(UserError, match=r"demos: no such folder; did you mean .*demo\?"):
        read_runs(nine.parent / "demos")


def test_folder_without_a_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run here or below.*lit-transformer fit"):
        read_runs(tmp_path)


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    with pytest.raises(UserError, match="is a file"):
        read_runs(tmp_path / "report.html")


def test_reading_and_drawing_import_no_torch() -> None:
    code = "import sys, lit_transformer.compare.read, lit_transformer.compare.verb; assert 'torch' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
