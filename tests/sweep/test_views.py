"""What `sweep status` says, from files alone."""

import json
from pathlib import Path

import pytest

from lit_transformer.records.atomic import write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.display import Display, duration
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.plan import Plan, PlannedCell, write_plan
from lit_transformer.sweep.status import print_status, sweep_status
from lit_transformer.sweep.views import CellView, exit_status, seconds_left

DEAD = Holder(worker="dead", host=Holder.here("x").host, pid=2**22 + 1, started=0.0)
CELLS = ["done", "bad", "nan", "busy", "dead", "lost", "new"]


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """A sweep with a cell in every state."""
    made = SweepFolder(tmp_path / "demo")
    config = {"trainer": {"max_steps": 100}}
    cells = [PlannedCell(name=name, values={"seed": index}, config=config) for index, name in enumerate(CELLS)]
    cells.append(PlannedCell(name="odd", values={"seed": 9}, problem="3 heads"))
    write_plan(made, Plan(name="demo", metric="val/loss", goal="minimize", swept=["seed"], threads=1, cells=cells), {})
    ledger, dead = (Ledger(made.claims, CELLS, holder) for holder in (Holder.here("here"), DEAD))
    results: dict[str, dict[str, object]] = {
        "complete": {"metrics": {"val/loss": 1.5}, "seconds": 8.0, "steps": 100},
        "failed": {"error": "why\nmore"},
        "diverged": {"error": "NaN at step 3"},
    }
    for end in ("complete", "failed", "diverged"):
        claim = ledger.claim()
        assert claim is not None
        write_json(made.cell(claim.cell).result_file, {"status": end, **results[end]})
        claim.end(end)  # type: ignore[arg-type]
    for name in ("busy", "dead"):
        assert (dead if name == "dead" else ledger).claim()
        run = made.cell(name)
        run.path.mkdir()
        run.metrics_file.write_text('{"step": 20, "val/loss": 2.0}\n{"step": 40, "train/loss": 1.9}\n{"step": 4')
        run.system_file.write_text('{"step": 40, "seconds": 4.0}\n')
    lost = Ledger(made.claims, ["lost"], Holder.here("here")).claim()
    assert lost is not None
    lost.end("lost")
    return made


def test_every_state(folder: SweepFolder) -> None:
    status = sweep_status(folder.path)
    assert {view.cell: view.state for view in status.views} == {
        "done": "complete", "bad": "failed", "nan": "diverged", "busy": "running", "dead": "stopped", "lost": "waiting",
        "new": "waiting", "odd": "impossible",
    }  # fmt: skip
    views = {view.cell: view for view in status.views}
    assert (views["done"].metric, views["done"].seconds) == (1.5, 8.0)
    busy = views["busy"]
    assert (busy.step, busy.total_steps, busy.metric, busy.seconds_left) == (40, 100, 2.0, 6.0)
    assert views["odd"].reason == "3 heads"
    assert status.exit_status == 1
    assert status.driven  # by whoever holds the cell that runs


def test_what_was_never_begun_is_unneeded_in_a_closed_sweep(
    folder: SweepFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    Ledger(folder.claims, [], Holder.here("here")).close("the target is reached")
    status = sweep_status(folder.path)
    states = {view.cell: view.state for view in status.views}
    assert (states["new"], states["lost"], states["busy"]) == ("unneeded", "waiting", "running")
    print_status(status)
    out = capsys.readouterr().out
    assert "no cell is begun any more: the target is reached" in out
    assert "1 of 6 cells done, 1 waiting, 1 running" in out and "1 unneeded" in out


def test_it_prints_for_people_and_for_programs(folder: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    status = sweep_status(folder.path)
    print_status(status)
    out = capsys.readouterr().out
    assert "bad: failed  why" in out
    assert "more" not in out
    assert "1 of 7 cells done, 2 waiting, 1 running, 1 diverged, 1 failed, 1 stopped, 1 impossible, about" in out
    read = json.loads(json.dumps(status.to_json()))
    assert read["counts"]["complete"] == 1
    assert [cell["cell"] for cell in read["cells"]] == [*CELLS, "odd"]


def test_the_lines_of_a_driver_without_a_terminal(folder: SweepFolder, capsys: pytest.CaptureFixture[str]) -> None:
    views = sweep_status(folder.path).views
    with Display("val/loss", workers=1) as display:
        display.show([CellView(cell=view.cell, values={}, state="waiting") for view in views])
        display.finish(views)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "done: complete  val/loss 1.5000  (8 s)" in captured.err
    assert captured.err.count("1 of 7 cells done") == 2  # with what runs, and the last line alone
    assert captured.err.strip().splitlines()[-1].startswith("1 of 7 cells done")


def view(state: str, seconds: float | None = None, left: float | None = None) -> CellView:
    return CellView(cell="x", values={}, state=state, seconds=seconds, seconds_left=left)  # type: ignore[arg-type]


def test_time_left() -> None:
    assert seconds_left([view("waiting")], 2) is None
    done, waiting = view("complete", 10.0), view("waiting")
    assert seconds_left([done, waiting, waiting, waiting, waiting], 2) == 20.0
    assert seconds_left([done, view("running", 4.0, 6.0), waiting], 2) == 8.0
    assert seconds_left([done, view("running", 90.0, 60.0), waiting], 2) == 60.0
    assert seconds_left([view("running", 5.0, 5.0), waiting, waiting], 1) == 25.0
    assert [duration(seconds) for seconds in (5, 300, 7200)] == ["5 s", "5 min", "2.0 h"]


def test_exit_status_is_0_only_when_every_valid_cell_is_complete_or_pruned() -> None:
    assert exit_status([view("complete"), view("pruned"), view("impossible")]) == 0
    for state in ("waiting", "running", "failed", "diverged", "stopped"):
        assert exit_status([view("complete"), view(state)]) == 1
