"""What is asked of a machine against what it has: real processes answer as nvidia-smi would."""

import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig, TrainerConfig
from lit_transformer.processes.gpus import from_kernel, visible_gpus
from lit_transformer.processes.hardware import (
    accelerator,
    check_devices,
    cores,
    cpu_quota,
    cuda_devices,
    gpu_names,
    processor,
)

pytestmark = pytest.mark.timeout(120)


# Rows of nvidia-smi: uuid, memory.total, driver_version, compute_cap, name.
A100 = "GPU-aaaa, 81920, 550.54.15, 8.0, NVIDIA A100-SXM4-80GB"
T4 = "GPU-bbbb, 15360, 550.54.15, 7.5, Tesla T4"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Make this a machine with these GPUs and this torch."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def make(*gpus: str, torch: str = "2.14.1", old_driver: bool = False) -> None:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        write(folder / "nvidia-smi", nvidia_smi(gpus, old_driver=old_driver))
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))  # alone: a real nvidia-smi must not answer
        write(
            folder / f"torch-{torch}.dist-info" / "METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {torch}\n"
        )
        monkeypatch.syspath_prepend(str(folder))

    return make


def nvidia_smi(gpus: Sequence[str], *, old_driver: bool) -> str:
    """A program that answers as nvidia-smi does; one of an old driver refuses to tell the compute capability."""
    lines = ["#!/bin/sh"]
    rows = [f"{index}, {gpu}".split(", ") for index, gpu in enumerate(gpus)]
    if old_driver:
        lines.append('case "$*" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field"; exit 2;; esac')
        rows = [[*row[:4], row[5]] for row in rows]
    if not rows:
        return "\n".join([*lines, "echo No devices were found", "exit 6"])
    return "\n".join([*lines, *(f"echo '{', '.join(row)}'" for row in rows)])


def asked(**trainer: object) -> ExperimentConfig:
    return ExperimentConfig(trainer=TrainerConfig(**trainer))


def refusal(**trainer: object) -> str:
    with pytest.raises(UserError) as error:
        check_devices(asked(**trainer))
    return str(error.value)


def test_gpus_are_named(machine, monkeypatch):
    machine(A100, T4)
    assert gpu_names() == ("NVIDIA A100-SXM4-80GB", "Tesla T4") and cuda_devices() == ("0", "1")
    assert accelerator() == "cuda"
    first, second = visible_gpus()
    assert (first.capability, first.memory, first.driver) == ((8, 0), 81920 * 2**20, "550.54.15")
    assert str(second) == "Tesla T4 (compute capability 7.5)"


@pytest.mark.parametrize(
    ("variable", "names"),
    [
        ("1", ["Tesla T4"]),
        ("1,0", ["Tesla T4", "NVIDIA A100-SXM4-80GB"]),
        ("GPU-bbbb", ["Tesla T4"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["NVIDIA A100-SXM4-80GB"]),
        ("0,7,1", ["NVIDIA A100-SXM4-80GB"]),  # CUDA stops at the first id that is not there
        ("MIG-1234", ["GPU MIG-1234"]),
    ],
)
def test_the_variable_hides_gpus(machine, monkeypatch, variable, names):
    machine(A100, T4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert list(gpu_names()) == names


def test_a_driver_that_knows_no_capability(machine):
    machine(T4, old_driver=True)
    assert gpu_names() == ("Tesla T4",) and visible_gpus()[0].capability is None
    check_devices(asked(accelerator="cuda", precision="bf16-mixed"))  # not known: not refused


def test_what_the_kernel_lists_where_nvidia_smi_is_absent(tmp_path):
    assert from_kernel(tmp_path / "none") is None
    (tmp_path / "0000:07:00.0").mkdir()
    text = "Model: \t\t NVIDIA A100-SXM4-80GB\nIRQ:   \t\t 30\nGPU UUID: \t GPU-aaaa\n"
    (tmp_path / "0000:07:00.0" / "information").write_text(text)
    [gpu] = from_kernel(tmp_path)
    assert (gpu.id, gpu.name, gpu.uuid) == ("0", "NVIDIA A100-SXM4-80GB", "GPU-aaaa")


def test_more_devices_than_there_are(machine, monkeypatch):
    machine(A100, A100)
    check_devices(asked(accelerator="cuda", devices=2, num_nodes=4))
    assert refusal(accelerator="cuda", devices=3) == (
        "trainer.devices: got 3 with trainer.accelerator=cuda\n"
        "  allowed  at most 2, the NVIDIA GPUs that this machine has\n"
        "  fix      set trainer.devices=2 or trainer.accelerator=cpu"
    )
    assert "got 3 with trainer.accelerator=auto" in refusal(devices=3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert "at most 1, the NVIDIA GPUs that this machine has (CUDA_VISIBLE_DEVICES=1 hides 1 more)" in refusal(
        devices=2
    )
    check_devices(asked(accelerator="cpu", devices=64))


def test_cuda_where_there_is_none(machine):
    machine()
    assert refusal(accelerator="cuda").splitlines() == [
        "trainer.devices: got 1 with trainer.accelerator=cuda",
        "  allowed  at most 0, the NVIDIA GPUs that this machine has (nvidia-smi lists none)",
        "  fix      set trainer.accelerator=cpu",
    ]
    check_devices(asked(precision="bf16-mixed", devices=2))  # auto is a CPU here
    assert "got 16-mixed on a CPU" in refusal(precision="16-mixed", accelerator="cpu")


def test_a_torch_without_cuda(machine):
    machine(A100, torch="2.14.1+cpu")
    assert accelerator() != "cuda"
    assert "for torch 2.14.1+cpu, a build without CUDA" in refusal(accelerator="cuda")


def test_a_torch_for_amd_is_left_alone(machine):
    machine(torch="2.14.1+rocm7.0")
    check_devices(asked(accelerator="cuda", devices=8))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_precision_that_the_gpu_lacks(machine, precision):
    machine(T4)
    assert refusal(accelerator="cuda", precision=precision) == (
        f"trainer.precision: got {precision} on Tesla T4 (compute capability 7.5)\n"
        "  allowed  32, 16-mixed; bf16 needs compute capability 8.0 or higher\n"
        "  fix      set trainer.precision=16-mixed"
    )
    check_devices(asked(accelerator="cuda", precision="16-mixed"))
    machine(A100, T4)
    check_devices(asked(accelerator="cuda", precision=precision))
    assert "Tesla T4" in refusal(accelerator="cuda", precision=precision, devices=2)


def test_mps(machine, monkeypatch):
    machine()
    if platform.system() != "Darwin":
        assert "trainer.accelerator: got mps on Linux" in refusal(accelerator="mps")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")  # no such machine is at hand
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("13.6.1", ("", "", ""), "arm64"))
    assert "  fix      set trainer.devices=1 or trainer.accelerator=cpu" in refusal(accelerator="mps", devices=2)
    assert "got 2 with trainer.accelerator=auto" in refusal(devices=2)
    assert "got bf16-mixed on mps under macOS 13.6.1" in refusal(precision="bf16-mixed")
    check_devices(asked(precision="16-mixed"))
    monkeypatch.setattr(platform, "mac_ver", lambda: ("26.0", ("", "", ""), "arm64"))
    check_devices(asked(precision="bf16-mixed"))


def test_cores_and_processor():
    assert 1 <= cores() <= (os.cpu_count() or 1)
    assert processor()
    if sys.platform == "linux":
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(mine)})
        try:
            assert cores() == 1
        finally:
            os.sched_setaffinity(0, mine)


def test_the_quota_of_control_groups(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/user.slice/session\n")
    folder = tmp_path / "v2" / "user.slice" / "session"
    folder.mkdir(parents=True)
    assert cpu_quota(tmp_path / "v2", own) is None
    write(folder / "cpu.max", "max 100000\n")
    assert cpu_quota(tmp_path / "v2", own) is None
    write(folder.parent / "cpu.max", "250000 100000\n")  # a limit above ours holds for us
    assert cpu_quota(tmp_path / "v2", own) == 2.5
    write(tmp_path / "v1" / "cpu" / "cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "v1" / "cpu" / "cpu.cfs_period_us", "100000\n")
    assert cpu_quota(tmp_path / "v1", own) is None
    write(tmp_path / "v1" / "cpu" / "cpu.cfs_quota_us", "150000\n")
    assert cpu_quota(tmp_path / "v1", own) == 1.5


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
