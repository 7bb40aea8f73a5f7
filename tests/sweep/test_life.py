"""A sweep's life beyond one driver: agents that join and leave, stop, extend, retries, watch; real processes."""

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.extending import sweep_extend
from lit_transformer.sweep.joining import sweep_agent
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.plan import read_configs, read_plan
from lit_transformer.sweep.status import sweep_status
from lit_transformer.sweep.watching import sweep_stop, sweep_watch
from tests.training.test_wandb import assert_history_is_the_log, records

pytestmark = pytest.mark.timeout(900)
LONGER = ["trainer.max_steps=200", "trainer.val_every=100", "trainer.checkpoint_every=10", "trainer.threads=1"]

LONG = ["trainer.max_steps=1500", "trainer.val_every=500", "trainer.checkpoint_every=50", "trainer.threads=1"]
"""Trials that last until an agent has started."""


def ends(folder: Path, cell: str) -> list[str]:
    return [end for _, end in sorted(read_claims(folder / "claims")[cell].ends.items())]


@pytest.mark.slow
def test_agents_a_stop_and_new_cells_in_the_middle_change_no_number(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    both = write_sweep("model.num_heads: {values: [1, 2]}", "seed: {values: [0, 1]}", name="both.yaml")
    calm = drive(both, "calm", workers=2, overrides=LONG)
    assert calm.wait() == 0, calm.log.read_text()

    sweep = write_sweep("model.num_heads: {values: [1, 2]}", name="both-a.yaml")
    run = drive(sweep, overrides=[*LONG, "seed=0"])
    run.until(lambda: run.trials(steps=20))
    agent = drive(agent=str(run.folder))
    cell, trial = agent.until(lambda: agent.trials(steps=20)).popitem()
    trial.suspend()
    agent.process.send_signal(signal.SIGTERM)
    request = RunFolder(run.folder / "cells" / cell).request_file
    agent.until(request.exists)
    request.unlink()  # as an srun step does that is starting
    agent.until(request.exists)
    trial.resume()
    assert agent.wait() == 143, agent.log.read_text()
    assert ends(run.folder, cell) == ["preempted"]
    assert RunFolder(run.folder / "cells" / cell).last_checkpoint.exists()

    extension = sweep_extend(run.folder, str(both), dry_run=True)
    added = [cell.name for cell in extension.added]
    assert (len(added), len(extension.kept), extension.gone) == (2, 2, [])  # seed 0 is the same cell by another name
    assert len(read_plan(SweepFolder(run.folder)).cells) == 2
    assert sweep_extend(run.folder, str(both)).to_json() == extension.to_json()
    run.until(lambda: "of 4 cells done" in run.log.read_text())

    agent = drive(agent=str(run.folder))
    agent.until(lambda: agent.trials(steps=20))
    run.until(lambda: run.trials(steps=20))
    assert sweep_stop(run.folder) == 0
    assert (run.wait(), agent.wait()) == (1, 1), run.log.read_text() + agent.log.read_text()
    for one in (run, agent):
        assert "asked by `sweep stop`" in one.log.read_text()
    states = Counter(view.state for view in sweep_status(run.folder).views)
    assert states["stopped"] >= 1 and states["running"] == 0

    agent = drive(agent=str(run.folder))
    agent.until(agent.trials)  # before the agent opens the stopped cells again, nothing is left to watch
    assert sweep_watch(run.folder) == 0
    assert agent.wait() == 0, agent.log.read_text()
    assert "4 of 4 cells done" in capfd.readouterr().err
    plan, configs = read_plan(SweepFolder(run.folder)), read_configs(SweepFolder(run.folder))
    assert [cell.name for cell in plan.cells] == ["num_heads=1", "num_heads=2", *added] == list(configs)
    for name, known in read_claims(run.folder / "claims").items():
        assert Counter(known.ends.values())["complete"] == 1, (name, known)
    for name in configs:
        heads, seed = name.split(",")[0], 1 if "seed=1" in name else 0
        ours, theirs = RunFolder(run.folder / "cells" / name), RunFolder(calm.folder / "cells" / f"{heads},seed={seed}")
        assert ours.metrics_file.read_bytes() == theirs.metrics_file.read_bytes() != b""


@pytest.mark.slow
def test_signals_to_a_trial_or_a_worker_cost_no_retry_and_no_number(
    write_sweep: Callable[..., Path], drive: Callable[..., Any]
) -> None:
    sweep = write_sweep("seed: {values: [0]}")
    calm = drive(sweep, "calm", overrides=[*LONG, "trainer.max_steps=600"])
    assert calm.wait() == 0, calm.log.read_text()
    run = drive(sweep, overrides=[*LONG, "trainer.max_steps=600"])
    step = 0
    for number, times in ((signal.SIGTERM, 1), (signal.SIGUSR1, 2), (signal.SIGINT, 3), (signal.SIGTERM, 4)):
        trial = run.until(lambda least=step + 20: run.trials(steps=least)).popitem()[1]
        (run.workers()[0] if times == 4 else trial).send_signal(number)
        run.until(lambda times=times: ends(run.folder, "seed=0") == ["preempted"] * times)
        step = RunFolder(run.folder / "cells" / "seed=0").read_metrics()[-1]["step"] or 0
    assert run.wait() == 0, run.log.read_text()
    said = run.log.read_text()
    assert said.count("seed=0: its process was asked to end by a signal; it goes on") == 3
    assert said.count("a worker was asked to end by a signal; another takes its place") == 1
    assert ends(run.folder, "seed=0") == [*["preempted"] * 4, "complete"]
    ours, theirs = (RunFolder(folder / "cells" / "seed=0") for folder in (run.folder, calm.folder))
    assert ours.log_file.read_text().count("going on from last.ckpt, step") == 4
    assert ours.metrics_file.read_bytes() == theirs.metrics_file.read_bytes() != b""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["worker", "all"])
def test_a_worker_killed_between_a_result_and_its_record_leaves_nothing_undone(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    monkeypatch.setenv("MORTAL", killed)
    run = drive(
        write_sweep("seed: {values: [0]}"), overrides=["tracking.wandb=offline"], worker="tests.sweep.mortal_worker"
    )
    assert run.wait() == 0, run.log.read_text()
    assert "a worker died (exit status -9) while it ran seed=0: lost" in run.log.read_text()
    assert ends(run.folder, "seed=0") == ["lost", "complete"]
    cell = RunFolder(run.folder / "cells" / "seed=0")
    assert "going on" not in cell.log_file.read_text()  # the trial was not run again
    found = records(cell.path)
    assert [record["run"] for record in found if record["type"] == "run"][-1]["tags"] == ["complete"]
    assert_history_is_the_log(found, cell)


@pytest.mark.slow
def test_a_cell_that_wandb_shows_otherwise_fails_however_short_it_is(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "agent.yaml").write_text("wandb_version: 1\nseed: {value: 99}\n")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", str(tmp_path / "agent.yaml"))
    short = ["trainer.max_steps=1", "trainer.val_every=1", "tracking.log_every=1", "tracking.wandb=offline"]
    run = drive(write_sweep("seed: {values: [0]}"), overrides=short)
    assert run.wait() == 1, run.log.read_text()
    (view,) = sweep_status(run.folder).views
    assert view.state == "failed" and "seed: 0 -> 99" in str(view.reason)
    monkeypatch.delenv("WANDB_SWEEP_PARAM_PATH")
    again = drive(None)
    assert again.wait() == 0, again.log.read_text()


@pytest.mark.slow
def test_a_failing_cell_is_retried_as_often_as_asked_and_goes_on(
    write_sweep: Callable[..., Path], drive: Callable[..., Any]
) -> None:
    run = drive(write_sweep("seed: {values: [0]}"), overrides=LONGER, retries=1)
    run.until(lambda: run.trials(steps=20)).popitem()[1].send_signal(signal.SIGABRT)
    run.until(lambda: "seed=0: it failed; it is run again (1 of 1)" in run.log.read_text())
    log = SweepFolder(run.folder).cell("seed=0").log_file
    run.until(lambda: "going on from last.ckpt, step" in log.read_text())
    run.until(lambda: run.trials(steps=20)).popitem()[1].send_signal(signal.SIGABRT)
    assert run.wait() == 1
    assert ends(run.folder, "seed=0") == ["error", "failed"]
    assert "SIGABRT" in str(sweep_status(run.folder).views[0].reason)
    retried = drive(None)
    assert retried.wait() == 0, retried.log.read_text()


@pytest.mark.slow
def test_a_file_that_changes_old_cells_extends_nothing(
    write_sweep: Callable[..., Path], drive: Callable[..., Any]
) -> None:
    sweep = write_sweep("seed: {values: [0, 1]}", "optimizer.lr: {value: 0.01}")
    run = drive(sweep)
    assert run.wait() == 0, run.log.read_text()
    sweep.write_text(sweep.read_text().replace("[0, 1]", "[1, 2]"))
    found = sweep_extend(run.folder, str(sweep), dry_run=True)
    assert found.lines() == ["+ seed=2", "- seed=0  (no longer in the file; it stays)", "1 new cells, 2 stay"]
    sweep.write_text(sweep.read_text().replace("0.01", "0.02").replace("val/loss", "val/accuracy"))
    with pytest.raises(UserError) as error:
        sweep_extend(run.folder, str(sweep))
    for words in ("metric: val/loss -> val/accuracy", "optimizer.lr: 0.01 -> 0.02 in 1 cell", "--name NAME"):
        assert words in str(error.value)
    assert len(read_plan(SweepFolder(run.folder)).cells) == 2


def test_folders_that_are_no_sweeps(tmp_path: Path, write_sweep: Callable[..., Path]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    acts: list[Callable[[], object]] = [
        lambda: sweep_agent(folder), lambda: sweep_watch(folder), lambda: sweep_stop(folder),
        lambda: sweep_extend(folder, str(write_sweep("seed: {values: [0]}"))),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(UserError, match="no sweep's folder"):
            act()
