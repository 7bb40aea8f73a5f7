"""A real bayes sweep with early stopping, its driver killed and started again: every point once, none lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lit_transformer.compare.read import read_runs
from lit_transformer.compare.verb import compare
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.propose import points_of
from lit_transformer.sweep.status import sweep_status

SETTINGS = ["trainer.max_steps=20", "trainer.val_every=5", "trainer.threads=1"]
POINTS = 12
"""Two more than are drawn at random."""


@pytest.mark.timeout(1200)
@pytest.mark.slow
def test_a_killed_bayes_sweep_goes_on_to_its_run_cap(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], gone: Callable[..., list[psutil.Process]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    sweep = write_sweep(
        "optimizer.lr: {distribution: log_uniform_values, min: 1.0e-6, max: 0.1}",
        "model.num_heads: {values: [1, 2, 3]}",
    )
    text = sweep.read_text().replace("method: grid", "method: bayes")
    sweep.write_text(f"{text}run_cap: {POINTS}\nearly_terminate: {{type: hyperband, min_iter: 2, eta: 2}}\n")

    run = drive(sweep, workers=2, overrides=SETTINGS)
    folder = SweepFolder(run.folder)
    run.until(lambda: folder.exists() and len(read_plan(folder).cells) >= 5)
    family = run.family()
    run.process.kill()
    assert gone(family) == []
    assert sweep_status(folder.path).exit_status == 1

    run = drive(sweep, workers=2, overrides=SETTINGS)
    assert run.wait(480) == 0, run.log.read_text()
    plan, claims = read_plan(folder), read_claims(folder.claims)
    assert len(points_of(plan.cells)) == len(plan.cells) == POINTS
    assert [cell.name[:4] for cell in plan.cells] == [f"{number:04d}" for number in range(POINTS)]
    for cell in plan.cells:
        assert (cell.problem is not None) == (cell.values["model.num_heads"] == 3)
        if cell.problem is None:
            ends = list(claims[cell.name].ends.values())
            assert sum(end in ("complete", "pruned") for end in ends) == 1
            assert folder.cell(cell.name).read_result()["status"] == claims[cell.name].end
    status = sweep_status(folder.path)
    assert (status.exit_status, status.unproposed) == (0, 0)
    assert list(read_runs(folder.path)["status"]) == [view.state for view in status.views]
    compare(folder.path, html=None, csv=False, json=False)
    assert "report.html" in capsys.readouterr().err
    assert folder.report_file.stat().st_size > 10_000

    more = sweep.read_text().replace(f"run_cap: {POINTS}", f"run_cap: {POINTS + 1}")
    sweep.write_text(more)
    grown = drive(sweep, workers=2, overrides=SETTINGS)
    assert grown.wait(480) == 0, grown.log.read_text()
    assert len(read_plan(folder).cells) == POINTS + 1
    other = drive(sweep, workers=2, overrides=["trainer.max_steps=21", *SETTINGS[1:]])
    assert other.wait() == 2
    assert "another sweep" in other.log.read_text()
