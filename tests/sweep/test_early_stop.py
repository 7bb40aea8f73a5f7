"""A real sweep whose bad cell is stopped early; its folder, the sweep's log, the status and the report say why."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.compare.read import read_runs
from lit_transformer.records.requests import read_request
from lit_transformer.records.run_folder import read_rows
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.judge import AGAIN_SECONDS, Histories, Judge, StopRule, append_stop
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.status import print_status, sweep_status
from lit_transformer.sweep.verdict import Verdict

SWEEP = """
method: grid
metric: {{name: val/loss, goal: minimize}}
early_terminate: {{type: hyperband, min_iter: 2, eta: 2}}
parameters:
  experiment: {{values: [{values}]}}
"""
TRIALS = {"fast": (0.01, 60), "slow": (0.005, 60), "bad": (1e-9, 1_000_000)}
"""Learning rate and steps: the bad one would train for hours."""


def write(tmp_path: Path, experiment: Path) -> Path:
    """A sweep over three experiments."""
    paths = []
    for name, (lr, steps) in TRIALS.items():
        text = experiment.read_text().replace("max_steps: 6, val_every: 3", f"max_steps: {steps}, val_every: 10")
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(f"{text}optimizer: {{lr: {lr}}}\n", encoding="utf-8")
    sweep = tmp_path / "stops.yaml"
    sweep.write_text(SWEEP.format(values=", ".join(map(str, paths))), encoding="utf-8")
    return sweep


@pytest.mark.timeout(1200)
def test_a_bad_cell_is_stopped_early(
    tmp_path: Path, experiment: Path, drive: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write(tmp_path, experiment)
    run = drive(sweep, overrides=["trainer.threads=1"])
    assert run.wait(600) == 0, run.log.read_text()

    folder = SweepFolder(run.folder)
    names = {Path(str(cell.values["experiment"])).stem: cell.name for cell in read_plan(folder).cells}
    ends = {name: read_claims(folder.claims)[cell].end for name, cell in names.items()}
    assert ends == {"fast": "complete", "slow": "complete", "bad": "pruned"}
    assert f"{names['bad']}: stopped early, hyperband: val/loss" in run.log.read_text()
    cell = folder.cell(names["bad"])
    result: Any = cell.read_result()
    histories = {
        name: [row["val/loss"] for row in folder.cell(each).read_metrics() if "val/loss" in row]
        for name, each in names.items()
    }
    stop, values = result["stop"], histories["bad"]
    assert result["steps"] >= 10 * stop["band"]
    assert stop["band"] in (2, 4)
    assert stop["value"] == values[stop["band"] - 1]
    at_band = sorted(history[stop["band"] - 1] for history in histories.values())  # type: ignore[type-var]
    assert (stop["threshold"], stop["rank"], stop["of"]) == (at_band[1], 3, 3)
    assert result["error"].startswith("hyperband: val/loss")
    assert read_request(cell) is None
    assert [(item["cell"], item["band"], item["value"]) for item in read_rows(folder.stops_file)] == [
        (names["bad"], stop["band"], stop["value"])
    ]

    status = sweep_status(folder.path)
    assert status.exit_status == 0
    view = next(view for view in status.views if view.cell == names["bad"])
    assert (view.state, view.stop, view.reason) == ("pruned", stop, result["error"])
    print_status(status)
    assert f"{names['bad']}: pruned" in capsys.readouterr().out
    runs = read_runs(folder.path).set_index("status")
    assert runs.loc["pruned", "val/loss"] == min(values)  # type: ignore[type-var]
    assert str(runs.loc["pruned", "error"]).startswith("hyperband")

    again = drive(sweep, overrides=["trainer.threads=1"])
    assert again.wait(480) == 0
    assert {known.highest for known in read_claims(folder.claims).values()} == {1}


def history(folder: SweepFolder, cell: str, values: list[float | None]) -> None:
    run = folder.cell(cell)
    run.path.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"step": step, "m": value, "other": 1.0}) for step, value in enumerate(values, 1)]
    run.metrics_file.write_text("\n".join([*rows, json.dumps({"step": 99, "other": 2.0})]) + "\n")


def judge(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, **rule: Any) -> tuple[Judge, list[float]]:
    """A judge, and the clock that it looks at."""
    clock = [100.0]
    monkeypatch.setattr("lit_transformer.sweep.judge.time.monotonic", lambda: clock[0])
    settings: dict[str, Any] = {"stopper": "hyperband", "metric": "m", "goal": "minimize", "bands": (2, 4), "eta": 2.0}
    return Judge(folder, StopRule(**{**settings, **rule}), Histories(folder, "m")), clock


def test_a_judge_looks_again_when_others_have_come_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SweepFolder(tmp_path)
    ours, clock = judge(folder, monkeypatch)
    names = ["a", "b", "c"]
    assert ours.look("c", names) is None  # nothing logged yet
    history(folder, "c", [5.0, None, 4.0])
    clock[0] += 1
    assert ours.look("c", names) is None  # alone at its band
    for name in ("a", "b"):
        history(folder, name, [3.0, 2.0])
    clock[0] += 1
    assert ours.look("c", names) is None  # its own log has not grown
    clock[0] += AGAIN_SECONDS
    verdict = ours.look("c", names)
    assert verdict is not None
    assert (verdict.band, verdict.value, verdict.threshold, verdict.rank, verdict.of) == (2, 4.0, 2.0, 3, 3)
    request = read_request(folder.cell("c"))
    assert request is not None
    assert (request.what, request.why, request.details) == ("prune", str(verdict), verdict.to_json())
    assert [item["cell"] for item in read_rows(folder.stops_file)] == ["c"]
    history(folder, "c", [5.0, 4.0, 4.0])
    clock[0] += AGAIN_SECONDS
    assert ours.look("c", names) is None  # it was asked
    other, clock = judge(folder, monkeypatch)
    assert other.look("c", names) is None  # and so it is for whoever takes the cell over
    assert len(read_rows(folder.stops_file)) == 1


def test_asynchronous_halving_judges_a_trial_once_a_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SweepFolder(tmp_path)
    ours, clock = judge(folder, monkeypatch, stopper="asha", bands=(1,), goal="maximize")
    history(folder, "b", [2.0])
    assert ours.look("b", ["a", "b"]) is None  # the best of those before it: none
    history(folder, "a", [3.0, 3.0])
    clock[0] += AGAIN_SECONDS
    assert ours.look("b", ["a", "b"]) is None  # judged already
    history(folder, "b", [2.0, 2.0])
    clock[0] += 1
    verdict = ours.look("b", ["a", "b"])
    assert verdict is not None
    assert str(verdict) == "asha: m 2 is worse than 3 at band 2 (rank 2 of 2)"


def test_a_rule_is_frozen_as_it_is() -> None:
    rule = StopRule(stopper="asha", metric="m", goal="maximize", bands=(1, 3), eta=3.0, strict=False)
    assert StopRule.from_json(json.loads(json.dumps(rule.to_json()))) == rule


def test_stops_of_several_workers_stand_whole(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    verdict = Verdict(stop=True, rule="asha", metric="m", band=1, value=2.0, threshold=1.0, rank=2, of=2)
    for cell in ("a", "b"):
        append_stop(folder, cell, verdict)
    stops = read_rows(folder.stops_file)
    assert [item["cell"] for item in stops] == ["a", "b"]
    assert {key: stops[0][key] for key in ("rule", "band", "value", "threshold", "rank", "of")} == {
        "rule": "asha", "band": 1, "value": 2.0, "threshold": 1.0, "rank": 2, "of": 2,
    }  # fmt: skip
