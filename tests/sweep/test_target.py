"""`metric.target` ends the taking of new cells of every method; what has begun goes on to its end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.judge import Histories
from lit_transformer.sweep.ledger import Ledger, read_claims
from lit_transformer.sweep.search import Frozen, freeze_search, read_search, search_differences
from lit_transformer.sweep.status import print_status, sweep_status
from lit_transformer.sweep.target import Target


def log(folder: SweepFolder, cell: str, *values: float | None) -> None:
    run = folder.cell(cell)
    run.path.mkdir(parents=True, exist_ok=True)
    run.metrics_file.write_text("".join(json.dumps({"step": 1, "m": value}) + "\n" for value in values))


@pytest.mark.parametrize(("goal", "before", "after"), [("minimize", 2.1, 2.0), ("maximize", 1.9, 2.0)])
def test_a_running_cell_that_reaches_the_target_closes_the_ledger(
    tmp_path: Path, goal: str, before: float, after: float
) -> None:
    folder = SweepFolder(tmp_path)
    ledger = Ledger(folder.claims, ["a", "b", "c"], Holder.here("test"))
    freeze_search(folder, Frozen(target=2.0))
    target = Target(folder, ledger, Histories(folder, "m"), goal=goal)
    assert target.look("a", at_once=True) == ""
    first, second = ledger.claim(), ledger.claim()
    assert first is not None and second is not None
    log(folder, "a", None, before)
    assert target.look("a", at_once=True) == "" == ledger.why_closed()
    log(folder, "a", None, before, after, before)
    assert target.look("a", at_once=True) == "the target 2 of m is reached: 2 in a" == ledger.why_closed()
    assert target.look("a", at_once=True) == ""  # said once
    assert ledger.claim() is None  # "c" was not begun
    second.end("preempted")
    again = ledger.claim()
    assert again is not None and (again.cell, again.attempt) == ("b", 2)  # and "b" was
    assert ledger.unsettled()
    first.end("complete")
    again.end("complete")
    assert not ledger.unsettled()
    assert set(read_claims(folder.claims)) == {"a", "b"}


def test_another_target_holds_for_whoever_looks_already(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    ledger = Ledger(folder.claims, ["a", "b"], Holder.here("test"))
    target = Target(folder, ledger, Histories(folder, "m"), goal="minimize")
    log(folder, "a", 0.4)
    assert target.look("a", at_once=True) == ""  # there is none
    freeze_search(folder, Frozen(target=0.25))
    assert target.look("a", at_once=True) == "" == ledger.why_closed()
    freeze_search(folder, Frozen(target=0.5))
    assert "0.5" in target.look("a", at_once=True)


def test_the_target_is_frozen_with_the_sweep(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    freeze_search(folder, Frozen(target=1.5))
    assert read_search(folder) == Frozen(target=1.5)
    assert search_differences(folder, Frozen(target=1.5)) == []
    assert search_differences(folder, Frozen(target=1.0)) == ["metric.target: 1.5 -> 1.0"]
    assert search_differences(folder, Frozen()) == ["metric.target: 1.5 -> null"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["grid", pytest.param("random", marks=pytest.mark.long), "bayes"])
def test_a_sweep_ends_at_its_target(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    values = "{values: [0.01, 0.005, 0.001]}" if method == "grid" else "{min: 0.001, max: 0.01}"
    sweep = write_sweep(f"optimizer.lr: {values}")
    text = sweep.read_text().replace("method: grid", f"method: {method}\nrun_cap: 3")
    sweep.write_text(text.replace("goal: minimize", "goal: minimize, target: 100"))
    run = drive(sweep, overrides=["trainer.max_steps=2", "trainer.threads=1"])
    assert run.wait() == 0, run.log.read_text()
    assert "the target 100 of val/loss is reached" in run.log.read_text()
    assert "no cell is begun any more" in run.log.read_text()
    status = sweep_status(run.folder)
    states = [view.state for view in status.views]
    assert states == (["complete"] if method == "bayes" else ["complete", "unneeded", "unneeded"])
    assert (status.exit_status, status.unproposed) == (0, 0)
    assert status.to_json()["closed"] == status.closed != ""
    print_status(status)
    assert "1 of 1 cells done" in capsys.readouterr().out
    again = drive(sweep, overrides=["trainer.max_steps=2", "trainer.threads=1"])
    assert again.wait() == 0, again.log.read_text()
    assert len(read_claims(run.folder / "claims")) == 1
