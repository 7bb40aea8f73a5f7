"""The verb as a process, on machines that are broken for real: every problem is a line and makes the status 1."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]


def environment(**changed: str) -> dict[str, str]:
    """Ours without what would change the answer, with `changed`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "CUDA_", "WANDB_"))}
    return {**kept, **changed}


def run(*arguments: str, cwd: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lit_transformer.cli", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(**changed),
    )


def checks(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    assert done.stdout, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def distribution(folder: Path, name: str, version: str, more: str = "") -> None:
    """An installed package as far as its metadata go."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")


def test_a_machine_that_works(tmp_path):
    done = run("--output", str(tmp_path / "runs"), cwd=tmp_path, WANDB_MODE="offline")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    said = "\n".join(lines)
    assert "W&B              wandb" in said and "auto means offline" in said and "WANDB_MODE=offline" in said
    assert "torchvision" in said and "its operators work" in said
    assert "FLOP/s in float32" in said and "GB/s (a copy, read + written)" in said
    assert "a child starts in" in said and "flock works" in said and "MB/s to the output folder" in said
    assert not (tmp_path / "runs").exists() and not list(tmp_path.iterdir())  # it leaves nothing behind


def test_a_broken_machine(tmp_path):
    """Many faults at once, each with its own line: every start costs the imports of torch."""
    site, programs = tmp_path / "site", tmp_path / "programs"
    distribution(site, "torch", "2.9.1")
    distribution(site, "lightning", "2.6.3")
    distribution(site, "wandb", "0.28.0")
    (site / "torchvision").mkdir()
    (site / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    program(programs, "nvidia-smi", "echo '0, GPU-aaaa, 15360, 390.10, 7.5, Tesla T4'")
    program(programs, "srun", "exit 1")
    program(programs, "scontrol", "echo 'Slurmctld(primary) at head is DOWN'; exit 1")
    (tmp_path / "file").touch()
    done = run(
        "--json",
        cwd=tmp_path,
        PYTHONPATH=str(site),
        PATH=f"{programs}:{os.environ['PATH']}",
        LIT_TRANSFORMER_CACHE=str(tmp_path / "file"),
        LIT_TRANSFORMER_CASH="x",
        WANDB_MODE="sometimes",
        CUDA_VISIBLE_DEVICES="GPU-aaaa",  # a real GPU of this machine stays out of it
    )
    found = checks(done)
    assert done.returncode == 1 and json.loads(done.stdout)["ok"] is False
    assert all(check["fix"] for check in found.values() if check["state"] == "problem")
    assert {name for name, check in found.items() if check["state"] == "problem"} >= {
        "package torch", "package lightning", "package wandb", "torchvision", "CUDA", "data cache", "fork server",
    }  # fmt: skip
    assert found["package lightning"]["found"] == "2.6.3 is a malicious upload"
    assert "replace every secret" in found["package lightning"]["fix"]
    assert found["package wandb"]["found"] == "0.28.0, needs 0.29 (0.29 fixes a path traversal)"
    assert found["package wandb"]["fix"] == "pip install --upgrade 'wandb>=0.29'"
    assert "operator torchvision::nms does not exist" in found["torchvision"]["found"]
    assert "one index" in found["torchvision"]["fix"]
    assert "torch reaches none of 1 NVIDIA GPUs" in found["CUDA"]["found"]
    assert "Tesla T4, 15.0 GiB, compute capability 7.5, no bf16" in found["GPU 0"]["found"]
    assert "file: Not a directory" in found["data cache"]["found"]
    assert found["data cache"]["fix"] == "set LIT_TRANSFORMER_CACHE to a folder on another disk"
    assert found["variables"]["fix"] == "did you mean LIT_TRANSFORMER_CACHE?"
    assert found["SLURM"]["state"] == "warning" and "head is DOWN" in found["SLURM"]["found"]
    assert found["W&B"]["state"] == "warning" and "WANDB_MODE=sometimes" in found["W&B"]["found"]
    assert found["disk speed"]["state"] in ("ok", "warning")  # what follows a problem is still checked


def test_the_first_line_comes_before_torch_could_be_imported(tmp_path):
    """The fake torch never ends its import: the lines that need no torch come all the same."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import time\ntime.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "lit_transformer.cli", "doctor"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path), WANDB_MODE="offline"),
    )
    guard = threading.Timer(60, process.kill)
    guard.start()
    try:
        lines = [process.stdout.readline() for _ in range(8)]
    finally:
        guard.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
    assert lines[0].startswith("ok       Python") and lines[-1]


def test_the_doctor_imports_no_torch():
    code = "import lit_transformer.doctor.report, sys; print([m for m in ('torch', 'wandb') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
