"""W&B's own reader on what the writer left."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


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
    from lit_transformer.records.run_folder import RunFolder

    run = RunFolder(fitted[1])
    found = records(run.path)
    config = next(record["run"]["config"]["update"] for record in found if record["type"] == "run")
    config.pop("_wandb", None)
    assert config == run.read_config()
    history = [flat(record["history"]) for record in found if record["type"] == "history"]
    rows = run.read_metrics()
    assert len(history) == len(rows) == 5
    for logged, row in zip(history, rows, strict=True):
        assert logged["_step"] == row["step"]
        assert {name: logged[name] for name in row if name != "step"} == {
            name: value for name, value in row.items() if name != "step"
        }


def flat(history):
    items = history.get("item", history)
    if isinstance(items, list):
        return {item.get("key") or item["nested_key"][0]: json.loads(item["value_json"]) for item in items}
    return items
