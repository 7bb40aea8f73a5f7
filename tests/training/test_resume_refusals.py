"""What `fit --resume` refuses, through the shell: one screen, status 2, and nothing in the folder has changed."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from lit_transformer import load_task
from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain
from lit_transformer.processes.progress_file import progress_path, read_progress
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.identity import identity
from lit_transformer.training.resume import continue_from
from tests.training.proofs import complete, differences, start
from tests.waiting import wait_for

pytestmark = pytest.mark.timeout(300)

SHORT = ("trainer.max_steps=12", "trainer.checkpoint_every=4", "trainer.keep_checkpoints=3", "trainer.val_every=5",
         "tracking.log_every=2", "tracking.wandb=off", "model.dropout=0.1")  # fmt: skip


@pytest.fixture(scope="module")
def make(trained):
    return lambda name, *settings: trained(name, *SHORT, *settings)


@pytest.fixture(scope="module")
def whole(make):
    """Complete, with step-4.ckpt, step-8.ckpt and last.ckpt of step 12."""
    return make("whole")


@pytest.fixture
def killed(whole, tmp_path):
    """A run killed between its last save and its result."""
    shutil.copytree(whole.path, tmp_path / "killed")
    run = RunFolder(tmp_path / "killed")
    run.result_file.unlink()
    return run


def fit(*arguments, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "lit_transformer.cli", "fit", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})},
    )  # fmt: skip


def one_screen(done):
    """What a refusal says."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr and "tensor" not in done.stderr
    assert 0 < done.stderr.count("\n") <= 24 and max(map(len, done.stderr.splitlines())) < 400
    return done.stderr


def refused(run, *arguments, environment=None):
    """What `fit --resume` says, having left the folder as it was."""
    before = contents(run)
    said = one_screen(fit("--resume", run.path, *arguments, environment=environment))
    assert contents(run) == before
    return said


def contents(run):
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in files}


def cut(path):
    path.write_bytes(path.read_bytes()[:1000])


def a_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")


DAMAGE = {
    "truncated": cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("weights\n"),
    "zip": a_zip,
}


@pytest.fixture(scope="module")
def foreign(make):
    """A good checkpoint of another run."""
    return make("foreign", "seed=5").last_checkpoint


def spoil(run, kind, foreign):
    if kind == "another run's":
        shutil.copyfile(foreign, run.last_checkpoint)
    else:
        DAMAGE[kind](run.last_checkpoint)


KINDS = [*DAMAGE, "another run's"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_last_checkpoint_and_no_other(killed, foreign, kind):
    for path in killed.checkpoints.glob("step-*.ckpt"):
        path.unlink()
    spoil(killed, kind, foreign)
    said = refused(killed)
    assert "none of them is good" in said and "fix  " in said
    wrong = "its SHA-256 differs" if kind == "another run's" else "bytes instead of"
    assert f"{killed.last_checkpoint} of step 12 is passed over" in said and wrong in said.splitlines()[1]
    assert "step-8.ckpt of step 8 is passed over: it is missing" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_last_checkpoint_and_an_earlier_good_one(runner, killed, whole, foreign, kind):
    spoil(killed, kind, foreign)
    if kind == "truncated":
        done = fit("--resume", killed.path)
        assert (done.returncode, done.stdout) == (0, f"{killed.path}\n"), done.stderr
        said = done.stderr
    else:
        said = complete(runner, killed).log_file.read_text()
    assert "last.ckpt of step 12 is passed over" in said and "step-8.ckpt of step 8 is taken instead" in said
    assert "going on from step-8.ckpt, step 8; exact" in said
    assert differences(whole, killed) == []


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), cut, lambda path: path.write_text("{}")])
def test_a_manifest_that_is_gone_or_damaged(killed, damage):
    damage(killed.checkpoints / "manifest.json")
    said = refused(killed)
    assert "manifest.json is " in said and "without it no checkpoint can be trusted" in said


def test_without_a_manifest_two_files_are_no_first_save(killed):
    (killed.checkpoints / "manifest.json").unlink()
    for path in killed.checkpoints.glob("step-*.ckpt"):
        path.unlink()
    assert "none of them is good" in refused(killed)


def test_a_kill_in_the_very_first_save(runner, killed, whole):
    for path in killed.checkpoints.iterdir():
        if path.name != "last.ckpt":
            path.unlink()
    assert differences(whole, complete(runner, killed)) == []


def test_without_a_checkpoint_it_starts_again_in_the_same_folder(killed, whole):
    shutil.rmtree(killed.checkpoints)
    done = fit("--resume", killed.path)
    assert (done.returncode, done.stdout) == (0, f"{killed.path}\n"), done.stderr
    assert killed.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    assert differences(whole, killed) == []


EDITS = {
    "d_model: 16": ("d_model: 32", "model.d_model", "16", "32"),
    "num_layers: 1": ("num_layers: 2", "model.num_layers", "1", "2"),
    "vocab_size: 20": ("vocab_size: 64", "model.vocab_size", "20", "64"),
    "name: adamw": ("name: sgd", "optimizer.name", "adamw", "sgd"),
}


def edit(run, *edits):
    text = run.config_file.read_text()
    for old in edits:
        assert text.count(old) == 1
        text = text.replace(old, EDITS[old][0])
    run.config_file.write_text(text)


@pytest.mark.parametrize("edits", [*([old] for old in EDITS), list(EDITS)])
def test_a_checkpoint_of_another_network(killed, edits):
    edit(killed, *edits)
    said = refused(killed, *(["--allow-drift"] if len(edits) > 1 else []))
    assert "last.ckpt is a checkpoint of another network" in said
    rows = [line.split() for line in said.splitlines()]
    for old in edits:
        assert list(EDITS[old][1:]) in rows
    assert said.count("\n") == len(edits) + 3  # no other setting, and no dump of weights


@pytest.mark.parametrize("drift", [False, True])
def test_a_checkpoint_of_another_task(killed, drift):
    now = identity(from_plain(killed.read_config()), killed.read_config())
    now["config"] = {**now["config"], "task": "translation"}
    with pytest.raises(UserError, match=r"another network(.|\n)*task +language_model +translation"):
        continue_from(killed, now, allow_drift=drift)


def test_a_vocabulary_too_small_for_the_data(killed):
    said = refused(killed, "model.vocab_size=5")
    assert "model.vocab_size is too small" in said and "got      5" in said


def test_a_run_that_is_being_trained_now(runner, make, whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "living", ignore=shutil.ignore_patterns("checkpoints", "result.json"))
    run = RunFolder(tmp_path / "living")
    text = run.config_file.read_text()
    run.config_file.write_text(
        text.replace("max_steps: 12", "max_steps: 1000000").replace("checkpoint_every: 4", "checkpoint_every: 1h")
    )
    group = start(runner, run)
    try:
        # its own progress: the copied folder holds that of the run it was copied from
        wait_for(lambda: (seen := read_progress(progress_path(run.path, 0))).pid == group.pids[0] and seen.step > 0)
        said = one_screen(fit("--resume", run.path))
        assert f"{run.path} is being trained now" in said
        assert f"process {group.pids[0]}, at step " in said and "one training at a time" in said and "fix  " in said
        step = read_progress(progress_path(run.path, 0)).step
        wait_for(lambda: read_progress(progress_path(run.path, 0)).step > step)
        assert group.poll() is None
    finally:
        group.kill()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["fit needs an experiment, or --resume RUN", "got      neither", "fix  "]),
        (["--allow-drift"], ["--allow-drift without --resume", "fix  "]),
        (["--resume"], ["--resume"]),
        (["--resume", "nowhere"], ["nowhere is no run's folder", "fix  "]),
        (["--resume", "/etc"], ["/etc is no run's folder", "fix  "]),
        (["--resume", "/etc/passwd"], ["/etc/passwd is no run's folder", "fix  "]),
    ],
)
def test_what_is_no_run(arguments, words):
    said = one_screen(fit(*arguments))
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: text.replace("model:", "model: {", 1).encode(), ["config.yaml:", "is not YAML"]),
        (lambda text: b"", ["config.yaml is damaged", "without settings", "fix  "]),
        (lambda text: b"\xff\xfe\x00", ["config.yaml is not UTF-8"]),
        (lambda text: text[: text.index("schedule:")].encode(), ["config.yaml is damaged", "schedule.name", "fix  "]),
        (lambda text: text.replace("num_heads: 2", "num_heads: 3").encode(), ["model.num_heads", "config.yaml", "fix"]),
    ],
)
def test_an_unreadable_config(killed, damage, words):
    killed.config_file.write_bytes(damage(killed.config_file.read_text()))
    said = refused(killed)
    assert all(word in said for word in words), said


def test_a_complete_run_is_left_alone(whole):
    before = contents(whole)
    done = fit("--resume", whole.path)
    assert (done.returncode, done.stdout) == (0, f"{whole.path}\n")
    assert f"{whole.path} is complete" in done.stderr and "trainer.max_steps=2000" in done.stderr
    assert contents(whole) == before


def test_a_complete_run_that_kept_its_best_weights_alone(whole, tmp_path):
    shutil.copytree(whole.path, tmp_path / "pruned")
    run = RunFolder(tmp_path / "pruned")
    CheckpointFolder(run.checkpoints).prune("best")
    said = refused(run, "trainer.max_steps=20", "--allow-drift")
    assert "is complete, and holds no checkpoint to go on from" in said and "best.ckpt" in said and "fix  " in said


@pytest.fixture
def two_old_gpus(tmp_path):
    """The environment of a machine with two GPUs that know no bf16."""
    folder = tmp_path / "machine"
    (folder / "torch-2.14.1.dist-info").mkdir(parents=True)
    (folder / "torch-2.14.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.14.1\n")
    rows = [f"{index}, GPU-{index}, 15360, 550.54.15, 7.5, Tesla T4" for index in range(2)]
    (folder / "nvidia-smi").write_text("\n".join(["#!/bin/sh", *(f"echo '{row}'" for row in rows)]))
    (folder / "nvidia-smi").chmod(0o755)
    return {"PATH": str(folder), "PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": "0,1"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["trainer.accelerator=cuda", "trainer.devices=4"], ["trainer.devices: got 4", "at most 2", "fix  "]),
        (["trainer.accelerator=cuda", "trainer.precision=bf16-mixed"], ["trainer.precision: got", "Tesla T4", "fix  "]),
        (["trainer.devices=3"], ["data.batch_size", "a multiple of 3", "batch_size 6 or 9", "fix  "]),
        (["model.heads=3"], ["did you mean model.num_heads?"]),
        (["gpt_tiny"], ["'gpt_tiny' is not a setting", "fix  "]),
    ],
)
def test_what_this_machine_or_the_rules_do_not_have(killed, two_old_gpus, settings, words):
    said = refused(killed, *settings, environment=two_old_gpus)
    assert all(word in said for word in words), said


def test_the_verbs_that_use_a_run_pass_over_damaged_checkpoints(killed, capsys):
    cut(killed.best_checkpoint)
    assert not load_task(killed.path).training
    said = capsys.readouterr().err
    assert "best.ckpt of step" in said and "last.ckpt of step 12 is taken instead" in said
    for path in killed.checkpoints.glob("*.ckpt"):
        cut(path)
    command = [sys.executable, "-m", "lit_transformer.cli", "generate", killed.path, "--prompt", "the head"]
    said = one_screen(subprocess.run(command, capture_output=True, text=True, check=False))
    assert "last.ckpt of step 12 is passed over" in said and "has no good checkpoint" in said and "fix  " in said
