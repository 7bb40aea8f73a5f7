"""What may change between a kill and `fit --resume`: some things change no number, the others need --allow-drift."""

import copy
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.schema import ScheduleConfig
from lit_transformer.optim import lr_factor
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.fit import resume
from tests.training.proofs import EPOCHS, at_step, differences

pytestmark = pytest.mark.timeout(300)

AT = 20
"""The step that the run was killed after."""


@pytest.fixture(scope="module")
def text(tiny_text, tmp_path_factory):
    """A text of this module's own, to be changed."""
    return Path(shutil.copyfile(tiny_text, tmp_path_factory.mktemp("text") / "own.txt"))


@pytest.fixture(scope="module")
def make(trained, text):
    off = "tracking.wandb=off"
    return lambda name, *settings, **ranks: trained(name, *EPOCHS, off, f"data.path={text}", *settings, **ranks)


@pytest.fixture(scope="module")
def whole(make):
    return make("whole")


@pytest.fixture
def killed(whole, tmp_path):
    return at_step(whole, AT, tmp_path / "killed")


class Warm:
    """The tests' fork server in place of `fit`'s own, whose start takes seconds."""

    def __init__(self, runner):
        self._runner = runner
        self.end, self.await_tracking = runner.end, runner.await_tracking

    def start(self, folder, **options):
        return self._runner.start(folder, log=RunFolder(folder).log_file, **options)

    def close(self):
        pass


@pytest.fixture
def go_on(runner, monkeypatch):
    """`fit --resume` in this process: the exit status and what the ranks said."""

    def go_on(run, *settings, allow_drift=False):
        run.log_file.unlink(missing_ok=True)
        with monkeypatch.context() as patch:
            patch.setattr("lit_transformer.training.fit.TrialRunner", lambda: Warm(runner))
            status, folder = resume(run.path, [shell_layer(settings)], allow_drift=allow_drift)
        assert folder == run.path
        return status, run.log_file.read_text()

    return go_on


def refusal(run, *settings, go_on):
    before = contents(run)
    with pytest.raises(UserError) as error:
        go_on(run, *settings)
    assert contents(run) == before
    said = str(error.value)
    assert "cannot go on exactly" in said and "these changed (then -> now)" in said and "--allow-drift" in said
    return said


def contents(run):
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name not in (".lock", "log.txt")]
    return {path: path.read_bytes() for path in files}


def assert_drifts(run, go_on, *settings, change, steps=40):
    """Refused, naming the change; with --allow-drift it goes on, says so before its first step, and completes."""
    kept = run.read_metrics()
    said = refusal(run, *settings, go_on=go_on)
    assert change in said and said.count("\n") == 2  # what changed, and how to go on
    status, log = go_on(run, *settings, allow_drift=True)
    assert status == 0, log
    line = next(line for line in log.splitlines() if line.startswith("going on from"))
    assert f"not exact, by --allow-drift: {change}" in line
    assert log.index(line) < log.index(f"step {steps}/{steps}")
    rows = run.read_metrics()
    assert run.status() == "complete" and rows[-1]["step"] == steps == run.read_result()["steps"]
    assert [row for row in rows if row["step"] <= AT] == [row for row in kept if row["step"] <= AT]
    for setting in settings:
        key, value = setting.split("=")
        assert plain(run, key) == json.loads(value) and run.read_origins()[key] == "command line"


def plain(run, key):
    value = run.read_config()
    for name in key.split("."):
        value = value[name]
    return value


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ("trainer.threads=2", "trainer.threads: 1 -> 2"),
        ("seed=7", "seed: 0 -> 7"),
        ("model.dropout=0.2", "model.dropout: 0.1 -> 0.2"),
        ("optimizer.lr=0.01", "optimizer.lr: 0.001 -> 0.01"),
        ("optimizer.weight_decay=0.3", "optimizer.weight_decay: 0.1 -> 0.3"),
        ("optimizer.beta2=0.9", "optimizer.beta2: 0.99 -> 0.9"),
        ("trainer.ema_decay=0.9", "trainer.ema_decay: null -> 0.9"),
        ("data.batch_size=20", "data.batch_size: 30 -> 20"),
    ],
)
def test_a_setting_that_changes_numbers(killed, go_on, whole, setting, change):
    assert_drifts(killed, go_on, setting, change=change)
    assert differences(whole, killed) != []


def test_the_learning_rate_is_the_new_one(killed, go_on):
    """What an optimizer restores is the old one."""
    go_on(killed, "optimizer.lr=0.01", allow_drift=True)
    rates = {row["step"]: row["lr"] for row in killed.read_metrics() if "lr" in row}
    for step, rate in rates.items():
        factor = lr_factor(step - 1, 40, ScheduleConfig(warmup_steps=5))
        assert rate == pytest.approx((0.001 if step <= AT else 0.01) * factor, rel=1e-9)
    assert {AT, AT + 4} <= rates.keys()


def test_the_patience_is_the_new_one(make, tmp_path, go_on):
    killed = at_step(make("patient", "trainer.early_stopping.patience=9"), AT, tmp_path / "killed")
    status, log = go_on(
        killed, "trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=100", allow_drift=True
    )
    assert status == 0 and killed.read_result()["steps"] == 27, log  # the first validation after step 20


def test_a_finished_run_is_extended(whole, tmp_path, go_on):
    shutil.copytree(whole.path, tmp_path / "longer")
    longer = RunFolder(tmp_path / "longer")
    assert_drifts(longer, go_on, "trainer.max_steps=50", change="trainer.max_steps: 40 -> 50", steps=50)
    assert [row["step"] for row in longer.read_metrics()][-5:] == [40, 44, 45, 48, 50]


def test_more_ranks(killed, go_on):
    assert_drifts(killed, go_on, "trainer.devices=2", change="number of ranks: 1 -> 2")


def test_fewer_ranks(make, tmp_path, go_on):
    killed = at_step(make("two", devices=2), AT, tmp_path / "killed")
    assert_drifts(killed, go_on, "trainer.devices=1", change="number of ranks: 2 -> 1")


def test_another_version(killed, go_on):
    """As it stands after an update: the checkpoint was saved under another torch."""
    folder = CheckpointFolder(killed.checkpoints, keep=50)
    found = folder.newest(lambda line: None)
    facts = copy.deepcopy(found.entry.facts)
    now, facts["identity"]["versions"]["torch"] = facts["identity"]["versions"]["torch"], "2.0.0"
    content = found.path.read_bytes()
    folder.save("last.ckpt", lambda file: file.write(content), step=AT, resumable=True, facts=facts)
    assert_drifts(killed, go_on, change=f"torch: 2.0.0 -> {now}")


def shuffled(text):
    lines = text.read_text().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    return "".join(lines)


def test_other_data(make, text, tmp_path, go_on):
    killed = at_step(make("data"), AT, tmp_path / "killed")
    before, now = text.read_text(), shuffled(text)
    try:
        text.write_text(now)
        assert_drifts(killed, go_on, change="data (fingerprint): ")
        text.write_text(now.replace("token", "tökén"))
        for drift in (False, True):
            with pytest.raises(UserError, match="trained with another vocabulary than its data now have") as error:
                go_on(killed, "trainer.max_steps=50", allow_drift=drift)
            assert "22 entries" in str(error.value) and "the 20 entries of" in str(error.value)
    finally:
        text.write_text(before)


def test_data_that_are_gone_but_for_the_cache(killed, whole, text, go_on):
    away = text.rename(text.with_suffix(".away"))
    try:
        status, log = go_on(killed)
        assert status == 0 and "exact: the same settings" in log
        assert differences(whole, killed) == []
        with pytest.raises(UserError, match=r"missing\.txt"):
            go_on(killed, "data.path=missing.txt", allow_drift=True)
    finally:
        away.rename(text)


def test_a_log_that_was_cut(killed, go_on):
    killed.metrics_file.write_bytes(killed.metrics_file.read_bytes()[:100])
    assert "metrics.jsonl: " in refusal(killed, go_on=go_on)


def test_all_changes_at_once_by_the_shell(killed):
    settings = ("optimizer.lr=0.5", "seed=1", "trainer.devices=2")
    command = [sys.executable, "-m", "lit_transformer.cli", "fit", "--resume", str(killed.path), *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert [line.strip() for line in done.stderr.splitlines()[1:-1]] == [
        "optimizer.lr: 0.001 -> 0.5", "seed: 0 -> 1", "number of ranks: 1 -> 2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        ("data.loader_workers=2", "data.persistent_workers=false"),
        ("trainer.checkpoint_every=7", "trainer.keep_checkpoints=1"),
        ("trainer.hang_timeout=null", "trainer.max_time=2h"),
        ("trainer.activation_checkpointing=true",),
        ("tracking.wandb=offline", "tracking.project=another"),
        ("trainer.profile=true", "trainer.keep=best"),
    ],
    ids=lambda settings: settings[0],
)
def test_a_setting_that_changes_no_number(killed, whole, go_on, settings):
    status, log = go_on(killed, *settings)
    assert status == 0, log
    assert f"going on from step-{AT}.ckpt, step {AT}; exact" in log
    assert killed.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    assert all(killed.read_origins()[setting.split("=")[0]] == "command line" for setting in settings)
