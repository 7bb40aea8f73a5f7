"""Sweeps whose command is not ours: an ordinary W&B script, offline, and what goes wrong with it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.records.locks import is_locked
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.begin import begin_growth, first_cells
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.dry_run import print_dry_run, sweep_dry_run
from lit_transformer.sweep.extending import sweep_extend
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.foreign import foreign_plan, freeze_foreign
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.plan import read_configs, read_plan, write_plan
from lit_transformer.sweep.program import Program
from lit_transformer.sweep.propose import Next, Proposer, seen_points
from lit_transformer.sweep.run import sweep_run
from lit_transformer.sweep.search import Frozen, freeze_search
from lit_transformer.sweep.status import sweep_status
from tests.waiting import wait_for

SCRIPT = """
import wandb

with wandb.init() as run:
    for step in range(4):
        loss = run.config.model["width"] * run.config["lr"] / (step + 1)
        run.log({"loss": loss, "text": "x", "nested": {"value": step}})
    run.summary["parameters"] = run.config.model["width"] ** 2
print("bad luck" if run.config.model["width"] == 3 else "fine")
raise SystemExit(3 if run.config.model["width"] == 3 else 0)
"""
SWEEP = """
method: grid
program: train.py
metric: {name: loss, goal: minimize}
project: mine
parameters:
  lr: {value: 0.5}
  model: {parameters: {width: {values: [2, 3, 4]}}}
command: ["${env}", PYTHON, "${program}", "${args}"]
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep file and its script, in the current folder."""
    (tmp_path / "train.py").write_text(SCRIPT)
    path = tmp_path / "mine.yaml"
    path.write_text(SWEEP.replace("PYTHON", sys.executable))
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)
    return path


def test_an_ordinary_wandb_script_runs_offline_and_its_metric_is_shown(sweep: Path, tmp_path: Path) -> None:
    cut_off = ["unshare", "-rn", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    tools = all(shutil.which(tool) for tool in ("unshare", "ip"))
    allowed = tools and not subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode
    command = [sys.executable, "-m", "lit_transformer.cli", "sweep", "run", "mine.yaml", "--workers", "2"]
    environment = {**os.environ, "WANDB_MODE": "online", "WANDB_API_KEY": "0" * 40}
    done = subprocess.run(
        [*(cut_off if allowed else []), *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr  # one cell failed
    folder = Path(done.stdout.strip())
    status = sweep_status(folder)
    views = {view.cell: view for view in status.views}
    assert {name: view.state for name, view in views.items()} == {
        "width=2": "complete", "width=3": "failed", "width=4": "complete",
    }  # fmt: skip
    assert (views["width=2"].metric, views["width=4"].metric) == (0.25, 0.5)
    assert views["width=3"].reason is not None
    assert "exit status 3" in views["width=3"].reason
    assert "bad luck" in views["width=3"].reason
    run = RunFolder(folder / "cells" / "width=4")
    rows = [{"step": step, "loss": 2 / (step + 1), "nested.value": step} for step in range(4)]
    assert run.read_metrics() == rows
    assert run.read_config() == {"lr": 0.5, "model": {"width": 4}}
    result = run.read_result()
    assert result["metrics"] == {"loss": 0.5, "nested.value": 3, "parameters": 16}
    assert len(list(run.path.glob("wandb/offline-run-*/run-*.wandb"))) == 1
    assert not is_locked(run.lock.path)

    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 1, again.stderr
    known = {view.cell: view.attempts for view in sweep_status(folder).views}
    assert known == {"width=2": 1, "width=3": 2, "width=4": 1}
    sweep.write_text(sweep.read_text().replace("[2, 3, 4]", "[2, 3, 4, 5]"))
    found = sweep_extend(folder, "mine.yaml", dry_run=True)
    assert ([cell.name for cell in found.added], found.gone) == (["width=5"], [])
    sweep.write_text(sweep.read_text().replace('"${args}"', '"${args_no_hyphens}"'))
    with pytest.raises(UserError, match="its cells are started otherwise"):
        sweep_extend(folder, "mine.yaml", dry_run=True)
    with pytest.raises(UserError, match=r"command: .*\$\{args\} -> .*\$\{args_no_hyphens\}"):
        sweep_run("mine.yaml")


@pytest.mark.parametrize(
    ("more", "asked", "words"),
    [
        ("", {"overrides": ["lr=1"]}, ["lr=1", "a command of its own", "under the file's parameters"]),
        ("", {"seeds": 3}, ["--seeds 3", "seed: {values: [0, 1, 2]}"]),
        ("", {"workers": 0}, ["--workers 0"]),
        ("", {"per_device": 2}, ["--per-device 2", "--workers N"]),
        ("", {"stopper": "hyperband"}, ["--stopper hyperband", "mine.yaml", "no early_terminate"]),
    ],
)
def test_what_has_no_meaning_there(sweep: Path, more: str, asked: dict[str, object], words: list[str]) -> None:
    sweep.write_text(sweep.read_text() + more)
    with pytest.raises(UserError) as error:
        sweep_run("mine.yaml", **asked)  # type: ignore[arg-type]
    for word in words:
        assert word in str(error.value)
    assert not Path("runs/sweeps/mine/sweep.yaml").exists()


def test_a_dry_run_lists_the_cells(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry = sweep_dry_run("mine.yaml", choice=Choice(count=2))
    print_dry_run(dry)
    out = capsys.readouterr().out
    assert "width=2" in out
    assert "width=4" not in out
    assert "2 cells, 1 workers, each with the file's own command" in out
    assert dry.seconds == 0
    assert not Path("runs").exists()
    json.dumps(dry.to_json())


def test_a_bayes_search_of_a_programs_settings_grows_from_what_it_logged(sweep: Path, tmp_path: Path) -> None:
    text = sweep.read_text().replace("method: grid", "method: bayes\nrun_cap: 3")
    sweep.write_text(text.replace("lr: {value: 0.5}", "lr: {min: 0.0, max: 1.0}\n  seed: {values: [0, 1]}"))
    dry = sweep_dry_run("mine.yaml")
    assert (dry.points, dry.unproposed) == (3, 0)
    file = read_sweep(sweep)
    growth = begin_growth(file)
    assert growth is not None and [axis.key for axis in growth.search.axes] == ["lr", "model.width", "seed"]
    folder = SweepFolder(tmp_path / "runs")
    freeze_foreign(folder, file)
    freeze_search(folder, Frozen(growth=growth))
    write_plan(folder, foreign_plan(file, 1, overrides=[], seeds=None, choice=None, first=first_cells(growth)), {})
    leader = Proposer(folder, growth, Holder.here("test"))
    assert [leader.propose() for _ in range(3)] == [Next.GROWN, Next.GROWN, Next.OVER]
    plan, configs = read_plan(folder), read_configs(folder)
    assert [cell.name for cell in plan.cells] == [cell.name for cell in dry.plan.cells]
    for cell in plan.cells:
        values = cell.values
        assert configs[cell.name].config == {
            "lr": values["lr"], "model": {"width": values["model.width"]}, "seed": values["seed"],
        }  # fmt: skip
    folder.cell(plan.cells[0].name).path.mkdir(parents=True)
    folder.cell(plan.cells[0].name).metrics_file.write_text('{"step": 0, "loss": 0.5}\n')
    assert [item.values for item in seen_points(folder, plan, "minimize")] == [(0.5,), (), ()]
    with pytest.raises(UserError, match="has no list of points"):
        sweep_extend(folder.path, "mine.yaml")
    with pytest.raises(UserError, match="a command of its own"):
        begin_growth(file, seeds=3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_whole_bayes_sweep_of_a_program(sweep: Path) -> None:
    text = sweep.read_text().replace("method: grid", "method: bayes\nrun_cap: 2")
    sweep.write_text(text.replace("lr: {value: 0.5}", "lr: {min: 0.0, max: 1.0}").replace("[2, 3, 4]", "[2, 4]"))
    status, path = sweep_run("mine.yaml")
    views = sweep_status(path).views
    assert (status, [view.state for view in views]) == (0, ["complete", "complete"])
    for view in views:
        assert view.metric == pytest.approx(view.values["model.width"] * view.values["lr"] / 4)  # type: ignore[operator]


def program(folder: Path, code: str, *, words: list[str] | None = None) -> tuple[Program, RunFolder]:
    run = RunFolder(folder / "cell")
    run.path.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    return Program(words or [sys.executable, "-c", code], run=run, folder=folder, environment=environment), run


def end(started: Program) -> int:
    wait_for(lambda: started.poll() is not None, 60)
    status = started.poll()
    assert status is not None
    return status


def test_a_program_ends_as_it_ends(tmp_path: Path) -> None:
    assert end(program(tmp_path, "raise SystemExit(7)")[0]) == 7
    assert end(program(tmp_path, "import os; os.kill(os.getpid(), 9)")[0]) == -signal.SIGKILL
    missing, run = program(tmp_path, "", words=["no-such-program"])
    assert end(missing) == 127
    assert "no-such-program cannot be started" in run.log_file.read_text()


TERM = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(5)); print('up', flush=True); time.sleep(60)"


def test_a_signal_reaches_the_program_and_the_folder_is_locked_meanwhile(tmp_path: Path) -> None:
    started, run = program(tmp_path, TERM)
    wait_for(lambda: "up" in run.log_file.read_text(), 60)
    assert is_locked(run.lock.path)
    second, _ = program(tmp_path, TERM)
    assert end(second) == 1
    assert "another process trains in this folder" in run.log_file.read_text()
    started.signal(signal.SIGTERM)
    assert end(started) == 5
    assert not is_locked(run.lock.path)


@pytest.mark.parametrize("how", ["pipe", "kill"])
def test_a_program_dies_with_whoever_started_it(tmp_path: Path, how: str) -> None:
    started, run = program(tmp_path, TERM)
    wait_for(lambda: "up" in run.log_file.read_text(), 60)
    (child,) = psutil.Process(started._keeper.pid).children()
    if how == "pipe":
        assert started._keeper.stdin is not None
        started._keeper.stdin.close()
    else:
        started.kill()
    assert not psutil.wait_procs([child], timeout=20)[1]
    wait_for(lambda: not is_locked(run.lock.path), 20)


def test_a_program_that_outlives_its_keeper_keeps_the_folder(tmp_path: Path) -> None:
    started, run = program(tmp_path, TERM)
    wait_for(lambda: "up" in run.log_file.read_text(), 60)
    (child,) = psutil.Process(started._keeper.pid).children()
    os.kill(started._keeper.pid, signal.SIGKILL)
    started._keeper.wait(20)
    assert is_locked(run.lock.path)
    child.kill()
    wait_for(lambda: not is_locked(run.lock.path), 20)


def test_a_program_dies_with_a_keeper_that_was_killed(tmp_path: Path) -> None:
    started, run = program(tmp_path, TERM)
    wait_for(lambda: "up" in run.log_file.read_text(), 60)
    (child,) = psutil.Process(started._keeper.pid).children()
    os.kill(started._keeper.pid, signal.SIGKILL)
    assert end(started) == -signal.SIGKILL
    assert not psutil.wait_procs([child], timeout=20)[1]
    assert not is_locked(run.lock.path)


def test_a_program_that_always_ends_as_if_it_was_asked_to_fails_in_the_end(sweep: Path, tmp_path: Path) -> None:
    """The exit statuses of SIGINT and SIGTERM are anybody's; one that a signal did end, once, is run again."""
    (tmp_path / "end.sh").write_text(
        'case $1 in n=0) [ -e asked ] && exit 0; touch asked; kill -TERM $$;; esac; echo "as always"; exit ${1#n=}\n'
    )
    sweep.write_text(
        "method: grid\nmetric: {name: loss, goal: minimize}\nparameters: {n: {values: [0, 130, 143]}}\n"
        'command: [sh, end.sh, "${args_no_hyphens}"]\n'
    )
    status, path = sweep_run("mine.yaml", workers=3)
    claims = read_claims(path / "claims")
    ends = {cell: [end for _, end in sorted(known.ends.items())] for cell, known in claims.items()}
    assert ends == {"n=0": ["lost", "complete"], **{f"n={n}": ["lost"] * 3 + ["failed"] for n in (130, 143)}}
    assert status == 1
    for number in (130, 143):
        error = RunFolder(path / "cells" / f"n={number}").read_result()["error"]
        assert f"killed 4 times in a row (its process ended with exit status {number})\nas always" in str(error)
