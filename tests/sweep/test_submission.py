"""What a sweep would submit to SLURM, where there is none; tests/cluster holds it against the real one."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.cli import main
from lit_transformer.config.errors import UserError
from lit_transformer.sweep.dry_run import print_dry_run, sweep_dry_run
from lit_transformer.sweep.slurm_settings import PilotSettings

PROGRAM = """
method: grid
metric: {name: loss, goal: minimize}
parameters:
  n: {values: [1, 2]}
command: [train, "${args}"]
"""


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.yaml"
    path.write_text(PROGRAM)
    return str(path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Exit status, standard output and standard error of `sweep run FILE --on slurm --dry-run`."""

    def ask(file: str, *options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(
            sys, "argv", ["lit-transformer", "sweep", "run", file, "--on", "slurm", "--dry-run", *options]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return ask


@pytest.mark.usefixtures("no_slurm")
def test_the_pilots_of_two_nodes_and_four_gpus(
    write_sweep: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = write_sweep("seed: {values: [0, 1]}", "trainer.num_nodes: {values: [1, 2]}", "trainer.devices: {value: 2}")
    pilots = PilotSettings(pilots=3, gpus=4, cpus=5, time="90min", partition="nope", sbatch={"reservation": "night"})
    dry = sweep_dry_run(str(sweep), output=tmp_path / "runs", pilots=pilots, per_device=2)
    slurm: Any = dry.to_json()["slurm"]
    assert (slurm["jobs"], slurm["there"], slurm["trials"]) == (3, [], 4)  # two groups of two GPUs, two trials on each
    options = {line.removeprefix("#SBATCH --") for line in slurm["script"].splitlines() if line.startswith("#SBATCH")}
    assert {"partition=nope", "reservation=night", "nodes=2", "ntasks-per-node=4", "gpus-per-node=4",
            "cpus-per-task=5", "time=90", "signal=B:USR1@120"} <= options  # fmt: skip
    assert slurm["script"].splitlines()[-1].startswith("exec ")
    assert (dry.slots.workers, dry.slots.devices, dry.slots.threads) == (12, 2, 5)
    assert {cell.config["trainer"]["accelerator"] for cell in dry.plan.valid()} == {"cuda"}  # type: ignore[index]
    print_dry_run(dry)
    out = capsys.readouterr().out
    assert "3 pilots would be submitted, each of 4 trials at once" in out
    assert "#SBATCH --partition=nope" in out and "no SLURM here (sbatch, srun" in out
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UserError, match="give --gpus 2"):
        sweep_dry_run(str(sweep), output=tmp_path / "runs", pilots=PilotSettings(gpus=1))


@pytest.mark.usefixtures("no_slurm")
def test_the_verb_shows_the_script_and_that_there_is_no_slurm(
    program: str, tmp_path: Path, asked: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = asked(program, "--partition", "nope", "--pilots", "2", "--output", str(tmp_path))
    assert status == 0
    assert "2 pilots would be submitted, each of 1 trial at once" in out
    assert "#SBATCH --partition=nope" in out
    assert "no SLURM here (sbatch, srun, squeue, sinfo, scontrol not found on PATH)" in out
    status, out, _ = asked(program, "--gpus", "2", "--json", "--output", str(tmp_path))
    assert (status, json.loads(out)["slurm"]["trials"]) == (0, 2)
    status, _, err = asked(program, "--time", "soon")
    assert status == 2 and "a duration such as" in err
    status, _, err = asked(program, "--nodes", "3", "--output", str(tmp_path))
    assert status == 2 and "--nodes: got 3, and every cell trains on 1" in err


def test_a_partition_that_sinfo_does_not_list(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Callable[..., tuple[int, str, str]]
) -> None:
    for name in ("sbatch", "srun", "squeue", "sinfo", "scontrol"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {'gpu long' if name == 'sinfo' else '>&2 to start at noon'}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    status, out, err = asked(program, "--partition", "gpux")
    assert (status, out) == (2, "")
    assert "got gpux" in err and "allowed  gpu, long" in err and "did you mean gpu?" in err
    status, out, _ = asked(program, "--partition", "gpu", "--output", str(tmp_path))
    assert status == 0 and "SLURM, asked by sbatch --test-only: to start at noon" in out
