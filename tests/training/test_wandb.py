"""W&B's own reader on what the writer left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.show import to_plain
from lit_transformer.processes.progress_file import progress_path, read_progress
from lit_transformer.records.atomic import write_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.training.wandb_writer import _remove_offline_runs, config_differences
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, tiny_experiment):
    """A run by the shell's `fit`, with its W&B run."""
    output = tmp_path_factory.mktemp("runs")
    done = subprocess.run(
        [sys.executable, "-m", "lit_transformer.cli", "fit", str(tiny_experiment), "--output", str(output)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done, Path(done.stdout.splitlines()[-1])


def records(folder):
    files = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 1
    wandb = Path(sys.executable).with_name("wandb")
    shown = subprocess.run(
        [wandb, "leet", "inspect", "--json", files[0]], capture_output=True, text=True, check=True
    ).stdout
    return [json.loads(line) for line in shown.splitlines() if line.strip()]


def test_standard_output_is_the_run_folder_alone(fitted):
    done, folder = fitted
    assert done.stdout == f"{folder}\n"
    assert (folder / "result.json").exists()


def test_wandbs_reader_shows_the_same_config_and_history(fitted):
    run = RunFolder(fitted[1])
    found = records(run.path)
    config = next(record["run"]["config"]["update"] for record in found if record["type"] == "run")
    config.pop("_wandb", None)
    assert config == run.read_config()
    assert len(run.read_metrics()) == 5
    assert_history_is_the_log(found, run)


def assert_history_is_the_log(found, run):
    history = [flat(record["history"]) for record in found if record["type"] == "history"]
    for logged, row in zip(history, run.read_metrics(), strict=True):
        assert logged["_step"] == row["step"]
        assert {name: logged[name] for name in row if name != "step"} == {
            name: value for name, value in row.items() if name != "step"
        }


def flat(history):
    items = history.get("item", history)
    if isinstance(items, list):
        return {item.get("key") or item["nested_key"][0]: json.loads(item["value_json"]) for item in items}
    return items


def test_a_run_killed_between_checkpoints_and_resumed_is_one_wandb_run(tmp_path, tiny_experiment):
    length = ["trainer.max_steps=900", "trainer.val_every=450", "trainer.checkpoint_every=300", "tracking.log_every=10"]
    command = [sys.executable, "-m", "lit_transformer.cli", "fit"]
    process = subprocess.Popen(
        [*command, str(tiny_experiment), *length, "--output", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: step_of(tmp_path) >= 400, 120)
    process.kill()  # its ranks and its writer end with it
    process.wait()
    run = RunFolder(next(tmp_path.glob("*/*")))
    wait_for(lambda: run.status() == "stopped")
    logged = max(row["step"] for row in run.read_metrics())
    assert 400 <= step_of(tmp_path) < 900 and logged > 300, "killed between two checkpoints"
    first, wandb_id = offline_runs(run), (run.path / "wandb-id.txt").read_text().strip()
    assert len(first) == 1
    done = subprocess.run([*command, "--resume", str(run.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "going on from last.ckpt" in done.stderr, done.stderr
    assert len(offline_runs(run)) == 1
    found = records(run.path)
    assert {record["run"]["run_id"] for record in found if record["type"] == "run"} == {wandb_id}
    assert (run.path / "wandb-id.txt").read_text().strip() == wandb_id and first[0].name.endswith(wandb_id)
    steps = [row["step"] for row in run.read_metrics()]
    assert steps == list(range(10, 901, 10))
    assert_history_is_the_log(found, run)


def step_of(output):
    seen = [read_progress(progress_path(path.parent, 0)) for path in output.glob("*/*/ranks")]
    return seen[0].step if seen and seen[0] else 0


def offline_runs(run):
    return sorted((run.path / "wandb").glob("offline-run-*"))


def test_removing_earlier_offline_runs_follows_no_link_and_leaves_others(tmp_path):
    run, outside = RunFolder(tmp_path / "run"), tmp_path / "outside"
    (run.path / "wandb").mkdir(parents=True)
    (run.path / "wandb-id.txt").write_text("mine")
    earlier = run.path / "wandb" / "offline-run-20260101_000000-mine"
    others = run.path / "wandb" / "offline-run-20260101_000000-others"
    theirs = outside / "offline-run-20260101_000000-mine"
    for folder in (earlier, others, theirs):
        folder.mkdir(parents=True)
        (folder / "run-mine.wandb").write_bytes(b"kept?")
    (earlier / "linked").symlink_to(theirs)
    (run.path / "wandb" / "offline-run-20260102_000000-mine").symlink_to(theirs)
    (run.path / "wandb" / "latest-run").symlink_to(theirs)
    _remove_offline_runs(run)
    left = {path.name for path in (run.path / "wandb").iterdir()}
    assert left == {others.name, "offline-run-20260102_000000-mine"}
    assert (theirs / "run-mine.wandb").read_bytes() == b"kept?"

    linked = RunFolder(tmp_path / "linked")
    linked.path.mkdir()
    (linked.path / "wandb-id.txt").write_text("mine")
    (linked.path / "wandb").symlink_to(outside)
    _remove_offline_runs(linked)
    assert (theirs / "run-mine.wandb").exists()
    (tmp_path / "none").mkdir()
    _remove_offline_runs(RunFolder(tmp_path / "none"))  # nothing logged yet


CARRY = """
import sys
from pathlib import Path
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.wandb_writer import Followed

for folder in sys.argv[1:]:
    Followed(RunFolder(Path(folder))).finish()
"""
STATES = ("complete", "pruned", "failed", "diverged", None)


def carried(*runs, **environment):
    """Let a writer carry runs that have ended; wandb reads its environment when it is imported."""
    command = [sys.executable, "-c", CARRY, *(str(run.path) for run in runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr


def test_runs_of_a_sweep_are_grouped_named_by_their_values_and_tagged_by_their_state(tmp_path):
    sweep = SweepFolder(tmp_path / "sweeps" / "demo")
    sweep.path.mkdir(parents=True)
    sweep.sweep_file.write_text("name: demo\n")
    runs = {state: sweep.cell(f"num_heads={index},seed=0") for index, state in enumerate(STATES)}
    for state, run in runs.items():
        run.path.mkdir(parents=True)
        run.freeze(to_plain(ExperimentConfig()), {}, {})
        if state is not None:
            write_json(run.result_file, {"status": state})
    carried(*runs.values())
    for state, run in runs.items():
        found = [record["run"] for record in records(run.path) if record["type"] == "run"]
        assert found[0]["display_name"] == run.path.name
        assert found[0]["run_group"] == "demo"
        assert not found[0].get("tags")
        assert found[-1]["tags"] == [state or "stopped"]
        assert not run.tracking_error_file.exists()


def test_a_config_that_wandb_shows_otherwise_is_complained_of(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.freeze(to_plain(ExperimentConfig(seed=3)), {}, {})
    carried(run, **locked(tmp_path))
    said = run.tracking_error_file.read_text()
    assert "seed: 3 -> 99" in said and "WANDB_SWEEP_PARAM_PATH" in said
    assert said.count("got      ") == 1
    carried(run)
    assert not run.tracking_error_file.exists()


def locked(folder):
    """An environment in which a sweep agent of W&B's holds the seed fast."""
    path = folder / "agent.yaml"
    path.write_text("wandb_version: 1\nseed: {value: 99}\n")
    return {"WANDB_SWEEP_PARAM_PATH": str(path)}


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 100000])  # the shorter one is over before W&B has begun
def test_and_the_run_fails(tmp_path, tiny_experiment, steps):
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", str(tiny_experiment), "--output", str(tmp_path)]
    length = [f"trainer.max_steps={steps}", "trainer.val_every=100000", "tracking.log_every=20"]
    environment = {**os.environ, **locked(tmp_path)}
    done = subprocess.run([*command, *length], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2, done.stderr
    result = RunFolder(next(tmp_path.glob("*/*/config.yaml")).parent).read_result()
    assert result["status"] == "failed" and "seed: 0 -> 99" in result["error"]


CUT = """
import os, signal, sys
from pathlib import Path
from lit_transformer.processes.trial import WRITER_PRELOAD, TrialRunner

run, killed = Path(sys.argv[1]), sys.argv[2]
runner = TrialRunner(WRITER_PRELOAD)
runner.track(run)
runner.await_tracking(run)
os.kill(os.getpid() if killed == "worker" else runner._writer.pid, signal.SIGKILL)
runner._writer.wait()
runner.end(run)
runner.close()
"""


@pytest.mark.parametrize("killed", ["worker", pytest.param("writer", marks=pytest.mark.slow)])
def test_a_run_that_was_being_carried_is_finished_whoever_is_killed(tmp_path, killed):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.freeze(to_plain(ExperimentConfig()), {}, {})
    run.metrics_file.write_text('{"step": 1, "train/loss": 2.5}\n')
    write_json(run.result_file, {"status": "complete"})
    done = subprocess.run([sys.executable, "-c", CUT, str(run.path), killed], check=False)
    assert done.returncode == (-9 if killed == "worker" else 0)

    def finished():
        try:
            return any(record["type"] == "exit" for record in records(run.path))
        except (subprocess.CalledProcessError, AssertionError):  # not whole yet
            return False

    wait_for(finished)
    found = records(run.path)
    assert [record["run"] for record in found if record["type"] == "run"][-1]["tags"] == ["complete"]
    assert_history_is_the_log(found, run)


def test_config_differences_are_of_any_depth():
    ours = {"a": {"b": 1, "c": None}, "d": 0.1}
    assert config_differences(ours, json.loads(json.dumps(ours))) == []
    assert config_differences(ours, {"a": {"b": 1.5}, "d": 0.1, "e": 2}) == [
        "a.b: 1 -> 1.5", "a.c: None -> nothing", "e: nothing -> 2",
    ]  # fmt: skip
