"""Single checks against real folders, limits and programs."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

from lit_transformer.doctor.check import GIB, Check
from lit_transformer.doctor.disks import disks, folder, locks, shared_memory
from lit_transformer.doctor.machine import gpus, memory_check, open_files, variables
from lit_transformer.doctor.networks import flops, paired
from lit_transformer.doctor.services import slurm
from lit_transformer.doctor.versions import numbers, parsed, versions

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Make a package installed as far as its metadata go, before the real one."""

    def make(name: str, version: str, more: str = "") -> None:
        info = tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))

    return make


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Make PATH hold these programs alone."""

    def make(**texts: str) -> None:
        for name, text in texts.items():
            file = tmp_path / "bin" / name.replace("_", "-")
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    return make


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A real disk of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def by_name(found: Iterator[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def test_every_requirement_of_this_package_is_understood():
    for need in requires("lit-transformer") or []:
        name, least, extra = parsed(need)
        assert name and numbers(least) and bool(extra) == ("extra" in need), need


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("torch", "2.9.1", "2.9.1, needs 2.10 (2.10 is the first whose torch.load is safe)"),
        ("lightning", "2.6.2", "2.6.2 is a malicious upload"),
        ("lightning", "2.6.3", "2.6.3 is a malicious upload"),
        ("lightning", "2.6.5", "2.6.5, needs 2.6.6 (2.6.6 is the first whose checkpoints cannot run code)"),
        ("omegaconf", "2.3.0", "2.3.0, needs 2.4"),
    ],
)
def test_a_version_that_will_not_do(site, name, version, found):
    site(name, version)
    check = by_name(versions())[f"package {name}"]
    assert (check.state, check.found) == ("problem", found) and check.fix


def test_a_vendors_version_and_a_missing_package_and_python(site):
    site("torch", "2.10.0a0+b4e4ee8")
    assert "torch 2.10.0a0+b4e4ee8" in by_name(versions())["packages"].found
    site("lit-transformer", "99", "Requires-Python: >=3.98\nRequires-Dist: nosuchpackage>=1.0\n")
    found = by_name(versions())
    assert found["package nosuchpackage"].state == "problem" and "pip install" in found["package nosuchpackage"].fix
    assert found["Python"].state == "problem" and found["Python"].found.endswith("needs >=3.98")


def test_pairs():
    assert paired("2.14.1+cpu", "0.29.1+cu130") and paired("2.11.0", "0.26.0")
    assert not paired("2.14.1", "0.28.0") and not paired("2.10.0", "0.26.0")


def test_a_full_disk_and_little_shared_memory(small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(small_disk / "cache"))
    found = by_name(disks(tmp_path / "runs"))
    assert found["data cache"].state == "problem" and "8 MiB free" in found["data cache"].found
    assert "LIT_TRANSFORMER_CACHE" in found["data cache"].fix
    check = by_name(disks(small_disk / "runs"))
    assert check["output folder"].state == "problem" and "--output" in check["output folder"].fix
    assert "another file system" in check["TMPDIR"].found
    assert "locks" not in check  # a folder that is no good is not tried further
    shared = shared_memory(small_disk)
    assert shared.state == "problem" and "8 MiB" in shared.found and "--shm-size" in shared.fix
    (small_disk / "fill").write_bytes(b"x" * (2**23 - 2**14))
    full = folder("output folder", small_disk, fix="choose another", notes="")
    assert full.state == "problem" and os.strerror(errno.ENOSPC) in full.found


def test_a_read_only_disk(small_disk, tmp_path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for check in (by_name(disks(small_disk / "runs"))["output folder"], shared_memory(small_disk)):
        assert check.state == "problem" and os.strerror(errno.EROFS) in check.found and check.fix


def test_no_temporary_folder(tmp_path, monkeypatch):
    """In a process of its own: Python remembers the folder."""
    code = (
        "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']  # all that may be tried\n"
        "from pathlib import Path; from lit_transformer.doctor.disks import disks\n"
        "for check in disks(Path('runs')): print(check)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "problem  TMPDIR" in done.stdout, done.stderr


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """What such kernels answer; none is at hand."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    assert locks(tmp_path).state == "ok"
    monkeypatch.setattr(fcntl, "flock", refuse)
    check = locks(tmp_path)
    assert check.state == "problem" and os.strerror(errno.ENOLCK) in check.found and check.fix
    monkeypatch.setattr(fcntl, "flock", lambda descriptor, operation: None)
    check = locks(tmp_path)
    assert check.state == "problem" and "lets two writers in" in check.found


def test_slurm(programs, monkeypatch, tmp_path):
    for name in ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    programs()
    [check] = slurm()
    assert check.state == "ok" and check.found.startswith("none here")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    [check] = slurm()
    assert check.state == "warning" and check.fix == "add SLURM's programs to PATH"
    programs(srun="exit 0", sbatch="exit 0", scontrol="echo Slurmctld'(primary)' at head is UP")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    [check] = slurm()
    assert check.state == "ok"
    assert check.found == "sbatch, srun, scontrol; inside job 7 on n[1-2], 4 tasks; Slurmctld(primary) at head is UP"
    programs(scontrol="echo slurm_ping: connection refused >&2; exit 1")
    [check] = slurm()
    assert check.state == "warning" and "connection refused" in check.found


def test_gpus_that_are_listed(programs, monkeypatch):
    programs(
        nvidia_smi="echo '0, GPU-a, 81920, 550.54, 8.0, NVIDIA A100'; echo '1, GPU-b, 15360, 550.54, 7.5, Tesla T4'"
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    first, second = gpus()
    assert (
        first.found
        == "NVIDIA A100, 80.0 GiB, compute capability 8.0, bf16, driver 550.54, hidden by CUDA_VISIBLE_DEVICES=1"
    )
    assert "no bf16: use trainer.precision=16-mixed" in second.found and "hidden" not in second.found


def test_memory():
    assert memory_check(64 * GIB, 32 * GIB, None).state == "ok"
    assert memory_check(64 * GIB, GIB, None).state == "problem"
    limited = memory_check(64 * GIB, 32 * GIB, GIB)
    assert limited.state == "problem" and "limited to 1.0 GiB" in limited.found and "1.5 GiB at least" in limited.fix


@pytest.mark.parametrize(("limit", "state"), [(100, "problem"), (500, "warning"), (4096, "ok")])
def test_open_files(limit, state):
    code = (
        "import resource; most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, most))\n"
        "from lit_transformer.doctor.machine import machine\n"
        "print(next(check.state for check in machine() if check.name == 'open files'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == state
    assert open_files(resource.RLIM_INFINITY).state == "ok"


def test_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(tmp_path))
    monkeypatch.setenv("LIT_TRANSFORMER_DATA", str(tmp_path))
    assert variables().state == "ok" and str(tmp_path) in variables().found
    monkeypatch.setenv("LIT_TRANSFORMER_DATA", str(tmp_path / "none"))
    assert variables().state == "warning" and "no such folder" in variables().found
    monkeypatch.setenv("LIT_TRANSFORMER_DATUM", "x")
    assert variables().fix == "did you mean LIT_TRANSFORMER_DATA?"


def test_a_line_is_one_line():
    assert str(Check(name="a", state="problem", found="b\n c", fix="d")) == "problem  a                b c; fix: d"
    assert (flops(2.05e11), flops(9.89e14)) == ("205 GFLOP/s", "989 TFLOP/s")
