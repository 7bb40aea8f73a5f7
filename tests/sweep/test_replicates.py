"""Replicates: what differs in its seed alone is one point, with mean and deviation."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.atomic import write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.dry_run import print_dry_run, sweep_dry_run
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.plan import Plan, PlannedCell, write_plan
from lit_transformer.sweep.replicates import point_name, point_views, points
from lit_transformer.sweep.status import print_status, sweep_status
from lit_transformer.sweep.views import CellView

LOSSES = {(1, 0): 2.0, (1, 1): 2.5, (1, 2): 2.4, (2, 0): 1.5}


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """Two points of three seeds; one is whole, of the other one seed is complete."""
    made = SweepFolder(tmp_path / "demo")
    cells = [
        PlannedCell(
            name=f"num_heads={heads},seed={seed}",
            values={"model.num_heads": heads, "seed": seed},
            config={"trainer": {"max_steps": 9}},
        )
        for heads in (1, 2)
        for seed in range(3)
    ]
    swept = ["model.num_heads", "seed"]
    write_plan(made, Plan(name="d", metric="val/loss", goal="minimize", swept=swept, threads=1, cells=cells), {})
    ledger = Ledger(made.claims, [cell.name for cell in cells], Holder.here("here"))
    for loss in LOSSES.values():
        claim = ledger.claim()
        assert claim is not None
        write_json(made.cell(claim.cell).result_file, {"status": "complete", "metrics": {"val/loss": loss}})
        claim.end("complete")
    return made


def test_status_shows_mean_and_deviation_over_seeds(folder: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    status = sweep_status(folder.path)
    first, second = point_views(status.views)
    losses = [loss for (heads, _), loss in LOSSES.items() if heads == 1]
    assert (first.point, first.complete, first.replicates) == ("num_heads=1", 3, 3)
    assert first.mean == pytest.approx(statistics.fmean(losses)) and first.sd == pytest.approx(statistics.stdev(losses))
    assert (second.mean, second.sd, second.complete, second.replicates) == (1.5, None, 1, 3)
    print_status(status)
    out = capsys.readouterr().out
    assert "val/loss, mean ± sd" in out and "2.3000 ± 0.2646" in out
    read = json.loads(json.dumps(status.to_json()))
    assert [point["values"] for point in read["points"]] == [{"model.num_heads": 1}, {"model.num_heads": 2}]


def test_without_seeds_there_are_no_points() -> None:
    views = [CellView(cell=str(heads), values={"model.num_heads": heads}, state="complete") for heads in (1, 2)]
    assert point_views(views) == []
    impossible = [CellView(cell=str(seed), values={"seed": seed}, state="impossible") for seed in (1, 2)]
    assert point_views(impossible) == []
    assert [len(group) for group in points(impossible)] == [2]
    assert point_name({"seed": 0}, 2) == "single x 2 seeds"


def test_a_dry_run_shows_replicates_once_and_what_budgets_made_of_them(
    write_sweep: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep("model.num_heads: {values: [1, 2, 64]}", "seed: {values: [0, 1, 2]}",
                        "budget.parameters: {value: 20000}", "budget.total_flops: {value: 5.0e+9}")  # fmt: skip
    dry = sweep_dry_run(str(sweep), workers=2, output=tmp_path / "runs")
    print_dry_run(dry)
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("num_heads=")]
    assert [row[:4] for row in rows] == [["num_heads=1", "x", "3", "seeds"], ["num_heads=2", "x", "3", "seeds"]]
    assert out.splitlines()[0].split()[:5] == ["cell", "d_model", "d_ff", "steps", "parameters"]
    cells: list[Any] = list(dry.to_json()["cells"])  # type: ignore[call-overload]
    for cell, row in zip(cells[:6:3], rows, strict=True):
        solved = cell["solved"]
        assert row[4:7] == [str(solved[key]) for key in ("model.d_model", "model.d_ff", "trainer.max_steps")]
        assert abs(cell["parameters"] - 20_000) <= 400
        assert cell["flops_per_token"] * solved["trainer.max_steps"] * 4 * 16 == pytest.approx(5e9, rel=0.02)
    assert out.count("impossible  num_heads=64") == 3
    assert "budget.parameters cannot be met within 2%" in cells[-1]["problem"]
    assert "(d_model 64, d_ff 192)" in cells[-1]["problem"]
