"""A real sweep whose bad cell is stopped early; its folder, the sweep's log, the status and the report say why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.compare.read import read_runs
from lit_transformer.records.requests import read_request
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.judge import read_stops
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.status import print_status, sweep_status

LONG = ["trainer.max_steps=1200", "trainer.val_every=10", "tracking.log_every=10", "trainer.threads=1"]
BAD = "lr=1e-09"


@pytest.mark.timeout(300)
def test_a_bad_cell_is_stopped_early(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep("optimizer.lr: {values: [0.01, 0.005, 1.0e-9]}")
    with sweep.open("a", encoding="utf-8") as file:
        file.write("early_terminate: {type: hyperband, min_iter: 3, eta: 2}\n")
    run = drive(sweep, overrides=LONG)
    assert run.wait() == 0, run.log.read_text()
    assert f"{BAD}: stopped early, hyperband: val/loss" in run.log.read_text()

    folder = SweepFolder(run.folder)
    assert {name: known.end for name, known in read_claims(folder.claims).items()} == {
        "lr=0.01": "complete", "lr=0.005": "complete", BAD: "pruned",
    }  # fmt: skip
    cell = folder.cell(BAD)
    result = cell.read_result()
    assert result["status"] == "pruned"
    assert 0 < int(str(result["steps"])) < 1200
    values = [row["val/loss"] for row in cell.read_metrics() if "val/loss" in row]
    stop = result["stop"]
    assert isinstance(stop, dict)
    assert stop["band"] in (3, 6, 12, 24, 48, 96)
    assert stop["value"] == values[stop["band"] - 1]
    others = [folder.cell(name).read_metrics() for name in ("lr=0.01", "lr=0.005")]
    at_band = sorted([row["val/loss"] for row in rows if "val/loss" in row][stop["band"] - 1] for rows in others)
    assert (stop["threshold"], stop["rank"], stop["of"]) == (at_band[1], 3, 3)
    assert str(result["error"]).startswith("hyperband: val/loss")
    assert read_request(cell) is None
    assert [(item["cell"], item["band"], item["value"]) for item in read_stops(folder)] == [
        (BAD, stop["band"], stop["value"])
    ]

    status = sweep_status(folder.path)
    assert status.exit_status == 0
    view = next(view for view in status.views if view.cell == BAD)
    assert (view.state, view.stop, view.reason) == ("pruned", stop, result["error"])
    print_status(status)
    assert f"{BAD}: pruned" in capsys.readouterr().out
    runs = read_runs(folder.path).set_index("optimizer.lr")
    assert runs.loc[1e-9, "status"] == "pruned"
    assert runs.loc[1e-9, "val/loss"] == min(values)  # type: ignore[type-var]
    assert str(runs.loc[1e-9, "error"]).startswith("hyperband")

    again = drive(sweep, overrides=LONG)
    assert again.wait() == 0
    assert {name: known.highest for name, known in read_claims(folder.claims).items()} == {
        "lr=0.01": 1, "lr=0.005": 1, BAD: 1,
    }  # fmt: skip
