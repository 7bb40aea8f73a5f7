"""What pilots ask for, and the refusals before anything is submitted; tests/cluster has the real ones."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.load import with_values
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.records.atomic import write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep import pilot
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.pilot import run_pilot
from lit_transformer.sweep.slurm_checks import check_pilot, check_slurm
from lit_transformer.sweep.slurm_settings import PilotSettings, pilot_settings, sbatch_problem


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("partition: gpu\ntime: 90min\ngpus: 2\nsbatch: {reservation: night}\n")
    found = pilot_settings(file, {"gpus": 4, "time": None, "nodes": 2})
    assert found == PilotSettings(partition="gpu", time="90min", gpus=4, nodes=2, sbatch={"reservation": "night"})
    assert (found.minutes, found.lead_seconds) == (90, 120)
    assert pilot_settings(None, {}) == PilotSettings()


def test_everything_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("partitoin: gpu\ncpus: 0\ntime: soon\nreservation: night\n")
    with pytest.raises(ConfigError) as error:
        pilot_settings(file, {"gpus": -1})
    text = str(error.value)
    for words in ("5 settings", "cluster.yaml:1", "did you mean partition?", "cluster.yaml:2", "1 or more",
                  "cluster.yaml:3", "a duration", "sbatch: {reservation: ...}", "--gpus"):  # fmt: skip
        assert words in text
    file.write_text("- gpu\n")
    with pytest.raises(ConfigError, match="a mapping such as"):
        pilot_settings(file, {})
    with pytest.raises(ConfigError, match="before the end of 1min"):
        pilot_settings(None, {"time": "1min"})
    with pytest.raises(UserError, match="cannot be read"):
        pilot_settings(tmp_path / "nowhere.yaml", {})


def with_trainer(**values: object) -> ExperimentConfig:
    return with_values(ExperimentConfig(), {f"trainer.{key}": value for key, value in values.items()})


@pytest.mark.parametrize(
    ("trainer", "asked", "words"),
    [
        ({"accelerator": "cuda"}, {}, "give --gpus N"),
        ({"devices": 4}, {"gpus": 2}, "give --gpus 4"),
        ({"num_nodes": 3}, {"nodes": 2}, "give --nodes 3"),
    ],
)
def test_a_cell_that_no_pilot_can_train(trainer: dict[str, object], asked: dict[str, int], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_pilot(with_trainer(**trainer), PilotSettings(**asked))


def test_cells_that_pilots_can_train() -> None:
    check_pilot(with_trainer(devices=4), PilotSettings())  # processes on CPUs
    check_pilot(with_trainer(devices=4, num_nodes=2), PilotSettings(gpus=4))
    check_pilot(with_trainer(devices=4, accelerator="cpu"), PilotSettings(gpus=2))


def test_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"SLURM is not installed here: sbatch(.|\n)*fix      run this on a login node"):
        check_slurm(PilotSettings())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts programs of SLURM's names on PATH, of which sinfo says what it is told."""

    def put(sinfo: str) -> None:
        for name in ("sbatch", "srun", "squeue", "sinfo", "scontrol"):
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\n{sinfo if name == 'sinfo' else 'exit 1'}\n")
            path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def test_a_controller_that_does_not_answer(programs: Callable[[str], None]) -> None:
    programs("echo 'slurm_load_partitions: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UserError, match=r"does not answer: slurm_load_partitions(.|\n)*fix      try `sinfo`"):
        check_slurm(PilotSettings())


def test_without_submitit(programs: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    programs("echo main")
    monkeypatch.setattr("lit_transformer.sweep.slurm_checks.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'lit-transformer\[slurm\]'"):
        check_slurm(PilotSettings())


def test_a_partition_that_does_not_exist(programs: Callable[[str], None]) -> None:
    programs("printf 'gpu\nlong\ngpu\n'")
    check_slurm(PilotSettings(partition="gpu,long"))
    with pytest.raises(UserError, match=r"got gpux(.|\n)*allowed  gpu, long\n  fix      did you mean gpu\?"):
        check_slurm(PilotSettings(partition="gpux"))


def test_what_sbatch_refuses_is_said_with_a_fix() -> None:
    text = str(sbatch_problem("sbatch: error: Batch job submission failed:\nInvalid account\n"))
    assert "got      sbatch: error: Batch job submission failed: Invalid account" in text
    assert "--account" in text


def test_a_pilot_whose_sweep_was_stopped_while_it_waited_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SweepFolder(tmp_path)
    write_json(folder.stop_file, {"id": "new"})
    monkeypatch.setattr(pilot, "run_workers", None)
    assert run_pilot(str(tmp_path), "old", 1, False) == 0
    assert "stopped while this pilot waited" in capsys.readouterr().err
    assert read_claims(folder.claims) == {}


def test_a_pilot_imports_no_torch() -> None:
    code = "import lit_transformer.sweep.pilot, submitit.core._submit, lit_transformer.sweep.slurm, sys"
    check = "print([name for name in ('torch', 'lightning', 'wandb') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{code}; {check}"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
