"""Whole runs, judged by what they leave in their folders."""

import contextlib
import math
import signal
import subprocess
import time

import pytest
import torch

from lit_transformer.config.registry import metric_names
from lit_transformer.processes.ranks import RankGroup, rank_environments
from lit_transformer.processes.trial import TRAIN
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.training.checkpoints import read_checkpoint
from tests.training.proofs import assert_ranks_agree, start

pytestmark = pytest.mark.timeout(180)  # a hang guard: ranks that wait for each other wait for ever


def weights(path):
    return read_checkpoint(path)["state_dict"]


def test_a_run_leaves_what_the_design_says(train):
    status, run = train("trainer.max_steps=13")
    assert status == 0, run.log_file.read_text()
    rows = run.read_metrics()
    assert [row["step"] for row in rows] == [4, 5, 8, 10, 12, 13]
    assert set().union(*rows) == {"step", *metric_names("language_model")}
    assert {row["step"] for row in rows if "val/loss" in row} == {5, 10, 13}
    assert [row["step"] for row in run.read_system()] == [4, 8, 12, 13]
    result = run.read_result()
    best = min((row for row in rows if "val/loss" in row), key=lambda row: row["val/loss"])
    assert result["status"] == run.status() == "complete"
    assert result["metrics"]["val/loss"] == best["val/loss"] and result["best_step"] == best["step"]
    assert result["last_metrics"]["val/loss"] == rows[-1]["val/loss"]
    assert result["steps"] == 13 and result["tokens"] == 13 * 8 * 16
    assert result["flops"] == result["flops_per_token"] * result["tokens"] > 0
    assert result["parameters"] == sum(p.numel() for name, p in weights(run.last_checkpoint).items())
    assert run.read_config()["model"]["vocab_size"] == result_vocab(run)
    assert run.read_origins()["model.vocab_size"] == "prepare"
    assert rows[0]["train/perplexity"] == pytest.approx(math.exp(rows[0]["train/loss"]))
    ratio = read_json_bytes_per_token(run)
    assert rows[-1]["val/bits_per_byte"] == pytest.approx(rows[-1]["val/loss"] / math.log(2) / ratio)


def test_a_kill_among_the_last_removals_leaves_a_complete_run(runner, new_run):
    run = new_run("trainer.max_steps=13", "trainer.checkpoint_every=20", "trainer.keep=best")
    killed = start(runner, run, target="tests.training.poisoned:killed_among_the_removals").wait()
    assert killed == -signal.SIGKILL and run.status() == "complete"
    assert CheckpointFolder(run.checkpoints).best(print).entry.step == run.read_result()["best_step"]


def result_vocab(run):
    return run.read_config() and weights(run.last_checkpoint)["network.token_embedding.weight"].shape[0]


def read_json_bytes_per_token(run):
    from lit_transformer.records.atomic import read_json

    prepared = read_json(run.prepared_file)
    return prepared["bytes"]["val"] / prepared["tokens"]["val"]


def test_the_same_run_twice_is_the_same(train):
    runs = [train("model.dropout=0.1", name=name)[1] for name in ("a", "b")]
    assert runs[0].metrics_file.read_bytes() == runs[1].metrics_file.read_bytes()
    first, second = (weights(run.last_checkpoint) for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_rank_equals_two_ranks_equals_accumulation(runner, new_run):
    assert_ranks_agree(runner, new_run, "run")


def test_a_loss_that_is_no_number_ends_the_run_as_diverged(train):
    status, run = train("optimizer.lr=1e30", "trainer.gradient_clip=null", "schedule.warmup_steps=0")
    assert status == 1
    assert run.status() == "diverged"
    assert "step" in run.read_result()["error"] and "optimizer.lr" in run.read_result()["error"]
    assert run.read_metrics(), "the rows before the end are kept"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 143)])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_signal_stops_at_a_step_and_saves(runner, new_run, number, status, devices):
    run = new_run("trainer.max_steps=100000", "trainer.checkpoint_every=100000", f"trainer.devices={devices}")
    group = runner.start(run.path, devices=devices, log=run.log_file, track=False)
    wait_for_rows(run)
    assert run.status() == "running"
    group.children[0].signal(number)  # one rank alone: the other must stop at the same step
    assert group.wait() == status, run.log_file.read_text()
    assert run.status() == "stopped" and not run.result_file.exists()
    saved = read_checkpoint(run.last_checkpoint)
    assert saved["global_step"] >= 4 and saved["optimizer_states"]


def test_a_killed_run_is_stopped_and_its_rows_are_whole(runner, new_run):
    run = new_run("trainer.max_steps=100000")
    group = runner.start(run.path, log=run.log_file, track=False)
    wait_for_rows(run)
    group.kill()
    assert group.poll() == -signal.SIGKILL
    assert run.status() == "stopped"
    steps = [row["step"] for row in run.read_metrics()]
    assert steps == sorted(set(steps))


def test_never_two_writers_in_a_folder(runner, new_run):
    run = new_run("trainer.max_steps=100000")
    group = runner.start(run.path, log=run.log_file, track=False)
    wait_for_rows(run)
    second = runner.start(run.path, log=run.path / "second.txt", track=False)
    assert second.wait() == 2
    assert "being trained by another process" in (run.path / "second.txt").read_text()
    assert group.poll() is None
    group.kill()


def wait_for_rows(run, seconds=60, beyond=1):
    deadline = time.monotonic() + seconds
    while len(run.read_metrics()) <= beyond:
        assert time.monotonic() < deadline, run.log_file.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("settings", "steps", "kept"),
    [
        (["trainer.fast_dev_run=true"], 1, {"best.ckpt", "last.ckpt"}),
        (["trainer.max_steps=null", "trainer.max_epochs=1", "trainer.limit_train_batches=3"], 3,
         {"best.ckpt", "last.ckpt"}),
        (["trainer.overfit_batches=1", "trainer.max_steps=6", "trainer.keep=best"], 6, {"best.ckpt"}),
        (["trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=100", "trainer.keep=last"], 10,
         {"last.ckpt"}),
        (["trainer.max_steps=6", "trainer.precision=bf16-mixed", "trainer.profile=true"], 6,
         {"best.ckpt", "last.ckpt"}),
        (["trainer.max_steps=6", "trainer.precision=bf16-true", "optimizer.name=adam"], 6, {"best.ckpt", "last.ckpt"}),
        (["trainer.max_steps=6", "objective.label_smoothing=0.1", "optimizer.name=sgd", "schedule.name=inverse_sqrt",
          "trainer.gradient_clip=null", "data.loader_workers=2"], 6, {"best.ckpt", "last.ckpt"}),
        (["trainer.max_steps=4", "trainer.limit_val_batches=1", "trainer.checkpoint_every=1min"], 4,
         {"best.ckpt", "last.ckpt"}),
    ],
)  # fmt: skip
def test_the_trainers_options(train, settings, steps, kept):
    status, run = train(*settings)
    assert status == 0, run.log_file.read_text()
    result = run.read_result()
    assert result["steps"] == steps and math.isfinite(result["metrics"]["val/loss"])
    assert {path.name for path in run.checkpoints.glob("*.ckpt")} == kept
    assert ("trainer.profile=true" in settings) == (run.path / "fit-profile.txt").exists()


def test_max_time_ends_a_run_complete(train):
    status, run = train("trainer.max_steps=1000000", "trainer.max_time=2s", "trainer.val_every=1000000")
    assert status == 0 and run.status() == "complete"
    assert run.read_metrics()[-1]["step"] == run.read_result()["steps"]
    assert "val/loss" in run.read_metrics()[-1]


def test_training_learns_more_than_letter_counts(train):
    from lit_transformer.records.atomic import read_json

    status, run = train("trainer.max_steps=150", "optimizer.lr=1e-2", "trainer.val_every=50")
    assert status == 0
    assert run.read_result()["metrics"]["val/loss"] < read_json(run.prepared_file)["unigram_entropy"]["val"] - 0.5


def test_a_rank_that_reads_another_config_stops_the_run(runner, new_run):
    """As on two nodes whose folders are not the same one."""
    one = new_run("trainer.devices=2", name="one")
    other = new_run("trainer.devices=2", "optimizer.lr=0.5", name="other")
    children = [
        runner._server.start(TRAIN, [str(run.path)], environment=ranks, log=run.log_file)
        for run, ranks in zip((one, other), rank_environments(2), strict=True)
    ]
    assert RankGroup(children).wait() == 2
    assert "rank 1 sees another run" in one.log_file.read_text() and "file system that all nodes share" in (
        one.log_file.read_text()
    )
    assert not one.metrics_file.exists() and not list(one.checkpoints.glob("*.ckpt"))


@pytest.mark.parametrize(
    "more",
    [(), pytest.param(("trainer.compile=true",), marks=[pytest.mark.slow, pytest.mark.long])],
    ids=["eager", "compiled"],
)
def test_activation_checkpointing_changes_no_number(train, more):
    settings = ("model.dropout=0.1", "model.num_layers=2", *more)
    runs = [train(*settings, f"trainer.activation_checkpointing={on}", name=on) for on in ("false", "true")]
    assert [status for status, _ in runs] == [0, 0], runs[1][1].log_file.read_text()
    kept, again = (run for _, run in runs)
    if not more:
        assert kept.metrics_file.read_bytes() == again.metrics_file.read_bytes()
    for ours, theirs in zip(kept.read_metrics(), again.read_metrics(), strict=True):
        for name in ours:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4), (name, ours["step"])


@pytest.mark.slow
def test_compiled_training_equals_eager(train):
    eager, compiled = (train(f"trainer.compile={flag}", name=flag)[1] for flag in ("false", "true"))
    for ours, theirs in zip(eager.read_metrics(), compiled.read_metrics(), strict=True):
        assert theirs["step"] == ours["step"]
        for name in ours:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-4)


def test_a_full_disk_is_named_and_what_was_written_is_whole(runner, new_run, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        run = new_run(
            "model.d_model=64", "trainer.max_steps=100000", "trainer.checkpoint_every=5", "tracking.log_every=1",
            name="disk/run",
        )  # fmt: skip
        group = runner.start(run.path, log=tmp_path / "log.txt", track=False)
        wait_for_rows(run, beyond=12)
        with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        assert group.wait() == 1
        said = (tmp_path / "log.txt").read_text()
        assert "The disk is full" in said and "Free some space" in said and "Traceback" not in said
        steps = [row["step"] for row in run.read_metrics()]
        assert steps == list(range(1, len(steps) + 1))
        found = CheckpointFolder(run.checkpoints).newest(print)
        assert found is not None and found.entry.step >= 5
        assert read_checkpoint(run.best_checkpoint)["global_step"] % 5 == 0
        (disk / "filler").unlink()
        group = runner.start(run.path, log=tmp_path / "log.txt", track=False)
        wait_for_rows(run, beyond=len(steps) + 5)
        group.kill()
        steps = [row["step"] for row in run.read_metrics()]
        assert steps == list(range(1, len(steps) + 1))
    finally:
        subprocess.run(["umount", disk], check=True)
