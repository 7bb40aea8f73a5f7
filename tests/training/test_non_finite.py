"""Losses, gradients and weights that are no numbers, in real runs of one and two ranks."""

import json
import math
import shutil

import pytest
import torch

from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.checkpoints import read_checkpoint
from lit_transformer.training.non_finite import IN_A_ROW, Guard, all_finite
from lit_transformer.training.stopping import Agreement
from tests.training.poisoned import Fault, seen, target
from tests.training.proofs import EPOCHS, assert_resumes_exactly, complete, differences, start

pytestmark = pytest.mark.timeout(300)  # a hang guard: ranks that wait for each other wait for ever
SHORT = (
    "trainer.max_steps=14", "trainer.val_every=5", "tracking.log_every=4", "trainer.checkpoint_every=1",
    "trainer.keep_checkpoints=50", "model.dropout=0.1", "trainer.ema_decay=0.9",
)  # fmt: skip
FAULTS = [("loss_multiplied", math.nan), ("loss_raised", math.inf), ("gradient", math.nan)]
"""On one rank: the gradient of all, the loss of one alone, the gradient of all with the loss as ever."""


@pytest.fixture
def poisoned(new_run):
    """Freeze a run with a fault in one rank, the last unless said."""

    def make(*settings: str, name: str, devices: int = 1, **fault: object) -> RunFolder:
        run = new_run(*SHORT, *settings, f"trainer.devices={devices}", name=name)
        return Fault(**{"rank": devices - 1, **fault}).put(run)

    return make


def checkpoint(run: RunFolder, step: int):
    return read_checkpoint(run.checkpoints / f"step-{step}.ckpt")


def assert_equal(mine, its):
    """Nested tensors and values, bit for bit."""
    if isinstance(mine, torch.Tensor):
        assert torch.equal(mine, its)
    elif isinstance(mine, dict):
        assert mine.keys() == its.keys()
        for key in mine:
            assert_equal(mine[key], its[key])
    elif isinstance(mine, list):
        for pair in zip(mine, its, strict=True):
            assert_equal(*pair)
    else:
        assert mine == its


def assert_ranks_hold_the_same(run: RunFolder, devices: int):
    ranks = [seen(run, rank) for rank in range(devices)]
    for name in ("weights", "optimizer"):
        for rank in ranks[1:]:
            assert_equal(ranks[0][name], rank[name])
    assert all_finite(ranks[0]["weights"].values())


@pytest.mark.parametrize("devices", [1, 2])
def test_stop(runner, poisoned, devices):
    settings = ("tracking.log_every=1", "trainer.checkpoint_every=2")
    clean = complete(runner, poisoned(*settings, name="clean", devices=devices, steps=[]), devices=devices)
    before = clean.metrics_file.read_bytes().splitlines()
    for kind, value in FAULTS:
        run = poisoned(*settings, name=kind, devices=devices, steps=[7], value=value)
        assert start(runner, run, devices=devices, target=target(kind)).wait() == 1, run.log_file.read_text()
        assert run.status() == "diverged"
        error, said = run.read_result()["error"], run.log_file.read_text()
        assert "no number at step 7" in error and error in said and "Traceback" not in said
        rows = run.metrics_file.read_bytes().splitlines()
        assert rows[:6] == before[:6] and json.loads(rows[6])["step"] == 7 and len(rows) == 7
        newest = CheckpointFolder(run.checkpoints).newest(print)
        assert newest is not None and newest.entry.step == 6
        for path in (newest.path, run.best_checkpoint):
            assert all_finite(read_checkpoint(path)["state_dict"].values())


@pytest.mark.parametrize("devices", [1, 2])
def test_skip(runner, poisoned, devices):
    settings = ("trainer.non_finite=skip",)
    left_out = poisoned(*settings, name="left-out", devices=devices, steps=[7], rank=None)
    complete(runner, left_out, devices=devices, target=target("without_the_update"))
    for kind, value in FAULTS:
        run = poisoned(*settings, name=kind, devices=devices, steps=[7], value=value)
        complete(runner, run, devices=devices, target=target(kind))
        assert "step 7: loss or gradient is no number; the step is left out" in run.log_file.read_text()
        assert differences(run, left_out) == ["run.guard.left_out. 1 0", "result.steps_left_out. 1 0"]
        assert_ranks_hold_the_same(run, devices)
        before, after = checkpoint(run, 6), checkpoint(run, 7)
        assert_equal(before["state_dict"], after["state_dict"])
        assert_equal(before["optimizer_states"][0]["state"], after["optimizer_states"][0]["state"])
        assert [saved["lr_schedulers"][0]["last_epoch"] for saved in (before, after)] == [6, 7]
        counters = {float(state["step"]) for state in seen(run, 0)["optimizer"]["state"].values()}
        assert counters == {13.0}
        losses = [row["train/loss"] for row in run.read_metrics() if "train/loss" in row]
        assert len(losses) >= 3 and None not in losses


@pytest.mark.parametrize("devices", [1, 2])
def test_rollback(runner, poisoned, devices):
    settings = ("trainer.non_finite=rollback", "trainer.checkpoint_every=4", "tracking.log_every=1")
    clean = poisoned(*settings, name="clean", devices=devices, steps=[])
    complete(runner, clean, devices=devices, target=target("clean"))
    for kind, value in FAULTS:
        run = poisoned(*settings, name=kind, devices=devices, steps=[2, 8, 11], value=value)
        complete(runner, run, devices=devices, target=target(kind))
        said, result = run.log_file.read_text(), run.read_result()
        for step, back_to in ((2, 0), (8, 4), (11, 8)):
            assert f"step {step}: loss or gradient is no number; back to the weights of step {back_to}," in said
        assert result["steps"] == 14 and result["steps_left_out"] == 3
        assert_ranks_hold_the_same(run, devices)
        before, after = checkpoint(run, 4), checkpoint(run, 8)  # the bad step is one after which a save is due
        assert_equal(before["state_dict"], after["state_dict"])
        assert_equal(before["optimizer_states"][0]["state"], after["optimizer_states"][0]["state"])
        rates = [[row["lr"] for row in one.read_metrics()] for one in (clean, run)]
        assert rates[0] == rates[1], "the schedule goes on"
        for rank in range(devices):
            assert_equal(seen(clean, rank)["batches"], seen(run, rank)["batches"])
        assert None not in [row["train/loss"] for row in run.read_metrics() if "train/loss" in row]


@pytest.mark.parametrize(("devices", "steps"), [(1, [17, 18]), (2, [17])])
def test_resume_across_a_skip_is_exact(runner, new_run, tmp_path, devices, steps):
    run = new_run(*EPOCHS, "trainer.non_finite=skip", f"trainer.devices={devices}", name="whole")
    whole = Fault(steps=[18], rank=devices - 1).put(run)
    complete(runner, whole, devices=devices, target=target("loss_raised"))
    assert_resumes_exactly(runner, whole, steps, tmp_path, devices=devices, target=target("loss_raised"))


@pytest.mark.parametrize(("devices", "steps"), [(1, [0, 16]), (2, [16])])
def test_resume_across_a_rollback_is_exact(runner, new_run, tmp_path, devices, steps):
    settings = (*EPOCHS, "trainer.checkpoint_every=4", "trainer.non_finite=rollback", "trainer.ema_decay=0.9")
    run = new_run(*settings, f"trainer.devices={devices}", name="whole")
    whole = Fault(steps=[18], rank=devices - 1).put(run)
    complete(runner, whole, devices=devices, target=target("loss_raised"))
    for step in steps:
        run = killed_after(whole, step, tmp_path / f"from-{step}")
        complete(runner, run, devices=devices, target=target("loss_raised"))
        assert differences(whole, run) == [], f"resumed from step {step}"
        said = run.log_file.read_text()
        assert f"step {step}; exact" in said and ("back to the weights of step 16" in said) == (step < 18)


def killed_after(whole: RunFolder, step: int, folder) -> RunFolder:
    """A copy of a complete run as a kill some time after the checkpoint of `step` leaves it."""
    shutil.copytree(whole.path, folder, ignore=shutil.ignore_patterns("log.txt"))
    run = RunFolder(folder)
    run.result_file.unlink()
    run.last_checkpoint.unlink()
    for path in run.checkpoints.glob("step-*.ckpt"):
        if int(path.stem.removeprefix("step-")) > step:
            path.unlink()
    return run


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_too_many_in_a_row(runner, poisoned, policy):
    """Checkpoints in between, of weights that no step has changed, start no new count."""
    settings = (f"trainer.non_finite={policy}", "trainer.max_steps=40", "trainer.checkpoint_every=7")
    run = poisoned(*settings, name="for-ever", steps=list(range(9, 41)))
    assert start(runner, run, target=target("loss_multiplied")).wait() == 1
    assert run.status() == "diverged"
    assert f"{IN_A_ROW + 1} times in a row" in run.read_result()["error"]
    run = poisoned(*settings, name="a-while", steps=list(range(9, 9 + IN_A_ROW)))
    complete(runner, run, target=target("loss_multiplied"))
    assert run.read_result()["steps_left_out"] == IN_A_ROW


MIXED = ("trainer.precision=16-mixed", "trainer.max_steps=9")


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_an_overflow_of_the_scaled_gradient_is_no_divergence(runner, poisoned, policy):
    run = poisoned(*MIXED, f"trainer.non_finite={policy}", name="run", steps=[7], value=math.inf, scaler=True)
    complete(runner, run, target=target("gradient"))
    assert run.read_result()["steps_left_out"] == 0
    before, after = checkpoint(run, 6), checkpoint(run, 7)
    assert after["MixedPrecision"]["scale"] == before["MixedPrecision"]["scale"] / 2, "the scaler left the step out"
    assert_equal(before["state_dict"], after["state_dict"])


@pytest.mark.parametrize("kind", ["loss_multiplied", "loss_raised"])
def test_a_loss_that_is_no_number_under_a_scaler(runner, poisoned, kind):
    run = poisoned(*MIXED, name="stop", steps=[7], scaler=True)
    assert start(runner, run, target=target(kind)).wait() == 1
    assert run.status() == "diverged" and "no number at step 7" in run.read_result()["error"]
    run = poisoned(*MIXED, "trainer.non_finite=skip", name="skip", steps=[7], scaler=True)
    complete(runner, run, target=target(kind))
    assert run.read_result()["steps_left_out"] == 1
    assert_equal(checkpoint(run, 6)["state_dict"], checkpoint(run, 7)["state_dict"])


def test_16_mixed_without_a_scaler_looks_at_the_gradient(runner, poisoned):
    """On a CPU Lightning makes bf16-mixed of it, and no scaler leaves the step out."""
    run = poisoned(*MIXED, "trainer.non_finite=skip", name="run", steps=[7])
    complete(runner, run, target=target("gradient"))
    assert run.read_result()["steps_left_out"] == 1


def test_the_first_bad_step_is_named_however_late_one_looks():
    guard = Guard("stop", Agreement(), go_back=lambda: 0)
    for step, loss in ((5, 1.0), (6, math.nan), (7, 1.0), (8, math.inf)):
        guard.step = step
        assert guard(torch.tensor(1.0), torch.tensor(loss)), "the step is taken all the same"
    assert guard.seen() == 6


@pytest.mark.parametrize("devices", [1, 2])
def test_a_weight_that_is_no_number_is_never_saved(runner, poisoned, devices):
    run = poisoned("trainer.checkpoint_every=3", name="run", devices=devices, steps=[9], rank=None)
    assert start(runner, run, devices=devices, target=target("weight_before_save")).wait() == 1
    assert run.status() == "diverged"
    assert "no number after step 9; the earlier checkpoint is kept" in run.read_result()["error"]
    newest = CheckpointFolder(run.checkpoints).newest(print)
    assert newest is not None and newest.entry.step == 6
    assert not list(run.checkpoints.glob("step-9*"))
    for path in run.checkpoints.glob("*.ckpt"):
        assert all_finite(read_checkpoint(path)["state_dict"].values())
    complete(runner, run, devices=devices)  # without the fault it goes on from there
