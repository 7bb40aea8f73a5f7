"""W&B's own agent and `wandb sync` against a stand-in for the server: it cannot be had here."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_transformer.config.errors import UserError
from lit_transformer.records.run_folder import find_runs
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.pushing import MARK, offline_file, sweep_push
from lit_transformer.sweep.run import sweep_run
from lit_transformer.sweep.wandb import COMMAND, server_config, sweep_on_wandb
from tests.sweep.wandb_server import StandIn, serving

pytestmark = pytest.mark.timeout(600)
KEY = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture
def server() -> Iterator[StandIn]:
    with serving() as made:
        yield made


@pytest.fixture
def logged_in(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in is the server, a key is there, and W&B's own files are the test's."""
    values = {"BASE_URL": server.url, "API_KEY": KEY}
    values |= {name: str(tmp_path / name) for name in ("CONFIG_DIR", "CACHE_DIR", "DIR")}
    for name, value in values.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    (tmp_path / "DIR").mkdir()
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return server


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lit_transformer", "sweep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})


def test_the_server_gets_the_file_with_overrides_as_constants(write_sweep: Callable[..., Path]) -> None:
    file = read_sweep(write_sweep("model.num_heads: {values: [1, 2]}"))
    config = server_config(file, ["trainer.max_steps=3", "data.path=x y"], seeds=2, output=Path("elsewhere"))
    assert config == {
        **file.source,
        "name": "sweep",
        "command": [*COMMAND, "--output", "elsewhere"],
        "parameters": {
            **file.source["parameters"],  # type: ignore[dict-item]
            "trainer.max_steps": {"value": 3},
            "data.path": {"value": "x y"},
            "seed": {"values": [0, 1]},
        },
    }
    assert "command" not in file.source  # the file's own content is left as it is
    with pytest.raises(UserError, match="--seeds 0"):
        server_config(file, [], seeds=0)


def test_an_override_is_checked_as_in_a_sweep_here(write_sweep: Callable[..., Path], tmp_path: Path) -> None:
    nested = "model: {parameters: {num_heads: {values: [1, 2]}, dropout: {value: 0.0}}}"
    sweep = write_sweep(nested)
    file, text = read_sweep(sweep), sweep.read_text()
    for method in ("grid", "random", "bayes"):  # the last two without a run_cap: the server needs none
        sweep.write_text(text.replace("method: grid", f"method: {method}"))
        with pytest.raises(UserError, match=r"(?s)model.num_heads=4, which the sweep varies.*fix "):
            sweep_on_wandb(str(sweep), overrides=["model.num_heads=4"])
    with pytest.raises(UserError, match=r"trainer\.max_stepz"):
        sweep_on_wandb(str(sweep), overrides=["trainer.max_stepz=4"])
    parameters = server_config(file, ["model.dropout=0.5"], seeds=None)["parameters"]
    assert parameters == {  # once, in its place: a dotted one beside it would be a second value
        **file.source["parameters"],  # type: ignore[dict-item]
        "model": {"parameters": {"num_heads": {"values": [1, 2]}, "dropout": {"value": 0.5}}},
    }
    own = tmp_path / "own.yaml"
    own.write_text("method: grid\nprogram: train.py\nparameters: {lr: {values: [1, 2]}}\n")
    with pytest.raises(UserError, match="a command of its own"):
        sweep_on_wandb(str(own), overrides=["lr=1"])


@pytest.mark.slow
def test_agents_train_what_the_server_hands_out(
    write_sweep: Callable[..., Path], logged_in: StandIn, experiment: Path, tmp_path: Path
) -> None:
    sweep = write_sweep("model.num_heads: {values: [1, 2]}", "tracking.wandb: {value: offline}")
    logged_in.cells = [
        {"experiment": str(experiment), "model.num_heads": heads, "tracking.wandb": "offline"} for heads in (1, 2)
    ]
    done = shell("run", str(sweep), "--on", "wandb", "--output", str(tmp_path / "runs"), "trainer.threads=1")
    assert done.returncode == 0, done.stdout + done.stderr + "\n".join(logged_in.queries)
    assert done.stdout == "me/lit-transformer/sw1\n"
    created = yaml.safe_load(logged_in.config)
    assert created["parameters"]["trainer.threads"] == {"value": 1}
    assert created["command"][:4] == COMMAND
    assert len(logged_in.hosts) == 1 and logged_in.started == ["run0", "run1"]
    runs = find_runs(tmp_path / "runs")
    assert [run.status() for run in runs] == ["complete", "complete"]
    trained = {(run.path / "wandb-id.txt").read_text().strip(): run.read_config()["model"] for run in runs}
    assert {name: model["num_heads"] for name, model in trained.items()} == {"run0": 1, "run1": 2}  # type: ignore[index]


@pytest.mark.slow
def test_without_a_login_or_against_a_server_that_refuses(
    write_sweep: Callable[..., Path], logged_in: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep = write_sweep("seed: {values: [0]}")
    logged_in.refuse = True
    done = shell("run", str(sweep), "--on", "wandb")
    assert done.returncode == 2, done.stderr
    assert f"was not created on {logged_in.url}" in done.stderr and "Traceback" not in done.stderr
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    done = shell("run", str(sweep), "--on", "wandb")
    assert done.returncode == 2, done.stderr
    assert "not logged in to W&B" in done.stderr and "sweep push" in done.stderr


@pytest.mark.slow
def test_a_push_uploads_each_run_once(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], logged_in: StandIn
) -> None:
    run = drive(write_sweep("seed: {values: [0, 1]}"), overrides=["tracking.wandb=offline"])
    assert run.wait() == 0, run.log.read_text()
    folder = SweepFolder(run.folder)
    cells = ["seed=0", "seed=1"]
    lock = folder.cell("seed=1").lock
    assert lock.acquire()
    first = sweep_push(run.folder)
    lock.release()
    assert (first.pushed, first.running, first.failed) == (["seed=0"], ["seed=1"], {}), logged_in.queries
    second = sweep_push(run.folder)
    assert (second.pushed, second.earlier) == (["seed=1"], ["seed=0"])
    before = len(logged_in.runs)
    assert sweep_push(run.folder).earlier == cells
    assert len(logged_in.runs) == before
    for cell in cells:
        name = (folder.cell(cell).path / "wandb-id.txt").read_text().strip()
        assert logged_in.ended[name] == 1
        ours = folder.cell(cell).read_metrics()
        assert [row["_step"] for row in logged_in.rows[name]] == [row["step"] for row in ours]
        assert [row.get("val/loss") for row in logged_in.rows[name]] == [row.get("val/loss") for row in ours]
    logged_in.refuse = True
    (folder.cell("seed=0").path / MARK).unlink()
    failed = sweep_push(run.folder)
    assert list(failed.failed) == ["seed=0"] and failed.exit_status == 1
    json.dumps(failed.to_json())


PROGRAM = """
import wandb

with wandb.init() as run:
    for step in range(3):
        run.log({"loss": run.config["width"] / (step + 1)})
"""


@pytest.mark.slow
def test_a_push_uploads_the_runs_of_a_program_once(
    logged_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(PROGRAM)
    Path("own.yaml").write_text(f"""
method: grid
program: train.py
project: mine
metric: {{name: loss, goal: minimize}}
parameters: {{width: {{values: [1, 2]}}}}
command: [{sys.executable}, "${{program}}"]
""")
    status, path = sweep_run("own.yaml")
    assert status == 0
    assert logged_in.queries == []  # its runs were offline
    cells = ["width=1", "width=2"]
    done = shell("push", str(path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pushed"] == cells
    before = len(logged_in.runs)
    again = shell("push", str(path), "--json")
    assert json.loads(again.stdout)["earlier"] == cells
    assert len(logged_in.runs) == before
    for cell in cells:
        run = SweepFolder(path).cell(cell)
        name = (run.path / "wandb-id.txt").read_text().strip()
        assert logged_in.ended[name] == 1
        rows = [{"step": row["_step"], "loss": row["loss"]} for row in logged_in.rows[name]]
        assert rows == run.read_metrics() and len(rows) == 3
    assert {run["name"] for run in logged_in.runs} == set(logged_in.rows)
    assert {run["project"] for run in logged_in.runs} == {"mine"}


def test_a_run_is_found_by_its_id(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sweep's folder"):
        sweep_push(tmp_path)
    run = SweepFolder(tmp_path).cell("a")
    assert offline_file(run) is None
    file = run.path / "wandb" / "offline-run-1-x" / "run-x.wandb"
    file.parent.mkdir(parents=True)
    file.touch()
    assert offline_file(run) is None
    (run.path / "wandb-id.txt").write_text("x")
    assert offline_file(run) == file
