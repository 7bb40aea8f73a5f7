"""Room for the checkpoints, looked for before the first step."""

import re
import shutil
import subprocess

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain
from lit_transformer.models import build_model
from lit_transformer.training.checkpoints import check_space
from tests.training.proofs import complete, start

pytestmark = pytest.mark.timeout(300)

LARGE = ("model.d_model=128", "model.num_layers=2", "trainer.max_steps=4", "trainer.val_every=2",
         "trainer.checkpoint_every=1", "trainer.keep_checkpoints=2")  # fmt: skip
"""1.6 MB of weights, so that the random states beside them count for little."""


@pytest.fixture
def disk(tmp_path):
    """Mount a small disk of so many bytes."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small disk")
        return path

    yield mount
    if path.is_mount():
        subprocess.run(["umount", path], check=True)


def refusal(run):
    """What check_space says of the run where it stands."""
    config = from_plain(run.read_config())
    with pytest.raises(UserError) as error:
        check_space(run, build_model(config.model), config.optimizer, config.trainer)
    return str(error.value)


def asked(said):
    """Bytes needed in all, and of one resumable checkpoint, in what was said."""
    found = re.search(r"allowed  (\S+) MB: \d kept and one being written, (\S+) MB each", said)
    assert found, said
    return tuple(float(number) * 1e6 for number in found.groups())


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer.name=adamw",),
        ("optimizer.name=sgd",),
        ("optimizer.name=sgd", "optimizer.momentum=0"),
        ("trainer.ema_decay=0.9",),
        ("model.tie_embeddings=false", "data.tokenizer.kind=bytes"),
        ("data.tokenizer.kind=bytes", "model.positions=sinusoidal", "model.context_length=256", "data.batch_size=2"),
    ],
    ids=" ".join,
)
def test_the_estimate_is_what_a_run_writes(runner, new_run, disk, settings):
    run = complete(runner, new_run(*LARGE, *settings))
    last, before, best = (
        path.stat().st_size for path in (run.last_checkpoint, run.checkpoints / "step-3.ckpt", run.best_checkpoint)
    )
    small = disk("200k")
    shutil.copytree(run.path, small / "run", ignore=shutil.ignore_patterns("*.ckpt"))
    needed, each = asked(refusal(type(run)(small / "run")))
    assert each == pytest.approx(last, rel=0.1)
    assert needed == pytest.approx(last + before + last + best, rel=0.1)


def test_a_disk_too_small_is_refused_before_the_first_step(runner, new_run, disk):
    disk("8m")
    run = new_run(*LARGE, name="disk/run")
    assert start(runner, run).wait() == 2
    said = run.log_file.read_text()
    assert f"too little room for the checkpoints of {run.path}" in said and "Traceback" not in said
    needed, each = asked(said)
    assert needed > 8e6 > each
    assert "0.0 MB of checkpoints already there" in said and "fix      free some space" in said
    assert not run.metrics_file.exists() and not list(run.checkpoints.glob("*.ckpt"))


def test_what_is_already_there_counts(runner, new_run, disk):
    """A run goes on where a new one would be refused."""
    path = disk("24m")
    run = complete(runner, new_run(*LARGE, name="disk/run"))
    run.result_file.unlink()  # killed before it was written
    there = sum(file.stat().st_size for file in run.checkpoints.glob("*.ckpt"))
    filler = path / "filler"
    needed = _needed(run, filler)
    fill(filler, free=needed - there + 300_000)
    assert shutil.disk_usage(path).free < needed
    complete(runner, run)
    run.result_file.unlink()
    fill(filler, free=needed - there - 300_000)
    assert start(runner, run).wait() == 2
    assert f"{there / 1e6:.1f} MB of checkpoints already there" in run.log_file.read_text()


def _needed(run, filler):
    fill(filler, free=0)
    return asked(refusal(run))[0]


def fill(filler, *, free):
    """Leave so many bytes free on the disk."""
    filler.unlink(missing_ok=True)
    with filler.open("wb") as file:
        file.write(bytes(max(0, int(shutil.disk_usage(filler.parent).free - free))))
