"""README, followed to the letter."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT = ["trainer.max_steps=4", "trainer.limit_val_batches=1"]
"""Added to the commands that train, so that the page is followed in seconds."""


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_command_of_the_page_works(tmp_path):
    for name in ("experiments", "sweeps", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    run = ""
    commands = [line for block in blocks("sh")[1:] for line in block.splitlines() if line.startswith("lit-transformer")]
    assert len(commands) >= 9
    for command in commands:
        words = shlex.split(command.replace("$RUN", run), comments=True)[1:]
        if words[0] == "fit" or words[:2] == ["sweep", "run"]:
            words += SHORT
        done = subprocess.run(
            [sys.executable, "-m", "lit_transformer.cli", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        if words[0] == "fit":
            run = done.stdout.strip()
    code = next(block for block in blocks("python") if "load_task" in block)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_make_targets_of_the_page_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = re.findall(r"make (\w+)", README)
    assert {"demo", "test", "bench", "results"} <= set(named)
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_tree_names_every_package():
    packages = {path.parent.name for path in (ROOT / "lit_transformer").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^  (\w+)/ ", README, flags=re.MULTILINE))


def apply_edits(root, diff):
    """Apply `-` and `+` lines: a run of removed lines is found once in the file and replaced; additions alone precede
    the removal that follows them."""
    for section in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        lines = body.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line.startswith("-"))
        after = "".join(f"{line[1:]}\n" for line in lines if line.startswith("+"))
        text = (root / name.strip()).read_text()
        assert before and text.count(before) == 1, (name, before)
        (root / name.strip()).write_text(text.replace(before, after))


@pytest.fixture
def copy(tmp_path):
    root = tmp_path / "project"
    for name in ("lit_transformer", "experiments"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", root / "pyproject.toml")
    return root


@pytest.mark.slow
def test_a_model_an_objective_and_a_task_are_added_in_five_steps(copy):
    page = README[README.index("## Add a model") : README.index("## Results")]
    assert re.findall(r"^\*\*(\d)\. ", page, flags=re.MULTILINE) == ["1", "2", "3", "4", "5"]
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL):
        if language == "diff":
            apply_edits(copy, text)
        else:
            first, _, rest = text.partition("\n")
            (copy / first.removeprefix("# ")).write_text(rest)
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", "bigram_tiny", *SHORT, "tracking.wandb=off"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    from lit_transformer.records.run_folder import RunFolder

    result = RunFolder(copy / done.stdout.strip()).read_result()
    assert result["metrics"]["val/targets"] > 0 and result["parameters"] == 512 * 512
    linted = [sys.executable, "-m", "mypy", "--config-file", str(copy / "pyproject.toml")]
    done = subprocess.run(linted, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_results_are_those_that_were_measured_last():
    script = ROOT / "tests" / "benchmarks" / "tables.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
