"""What a fresh machine lacks is named before anything is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def bare(tmp_path):
    """The files that `make` reads, without a .venv."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder, *arguments):
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "Python 3.11 to 3.13 is needed"),
        ("#!/bin/sh\nexit 1\n", "Python 3.11 to 3.13 is needed"),
        ('#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\n', "apt-get install python3-venv"),
    ],
)
def test_a_missing_prerequisite_is_named(bare, script, words):
    python = bare / "python"
    if script:
        python.write_text(script)
        python.chmod(0o755)
    done = make(bare, "demo", f"PYTHON={python}")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (bare / ".venv").exists()


def test_the_lock_has_hashes_and_no_addresses():
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock and "--index" not in lock and "--find-links" not in lock
    pinned = [line for line in lock.splitlines() if "==" in line]
    assert len(pinned) > 80 and all(line.endswith("\\") for line in pinned)
    assert "uv.lock" not in {path.name for path in ROOT.iterdir()}
