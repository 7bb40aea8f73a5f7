"""A resumed run is the uninterrupted one, bit for bit."""

import pytest

from lit_transformer.training.checkpoints import read_checkpoint
from tests.training.proofs import EPOCHS, assert_resumes_exactly, at_step, complete, differences

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        pytest.param(("data.loader_workers=2",), marks=pytest.mark.long),
        pytest.param(("data.loader_workers=2", "data.persistent_workers=false"), marks=pytest.mark.long),
        ("trainer.precision=bf16-mixed",),
    ],
    ids=["no workers", "persistent workers", "workers", "bf16"],
)
def test_resumed_from_every_step(runner, new_run, tmp_path, settings):
    whole = complete(runner, new_run(*EPOCHS, *settings, name="whole"))
    assert [row["step"] for row in whole.read_metrics()] == [4, 8, 9, 12, 16, 18, 20, 24, 27, 28, 32, 36, 40]
    assert_resumes_exactly(runner, whole, list(range(1, 41)), tmp_path)


@pytest.mark.parametrize(
    ("settings", "devices"),
    [
        (("trainer.accumulate=3", "trainer.ema_decay=0.9"), 1),
        (("optimizer.name=sgd", "trainer.non_finite=skip", "trainer.limit_train_batches=7"), 1),
        (("trainer.early_stopping.patience=2", "trainer.early_stopping.min_delta=0.01", "schedule.name=linear"), 1),
        ((), 2),
        (("trainer.accumulate=3", "trainer.ema_decay=0.9", "trainer.non_finite=rollback"), 2),
    ],
    ids=["accumulated and averaged", "sgd", "early stopping", "ranks", "ranks accumulated and averaged"],
)
def test_resumed_under_other_settings(runner, new_run, tmp_path, settings, devices):
    settings = (*EPOCHS, *settings, f"trainer.devices={devices}")
    whole = complete(runner, new_run(*settings, name="whole"), devices=devices)
    last = whole.read_result()["steps"]
    assert_resumes_exactly(
        runner, whole, [step for step in (1, 9, 13, 15, 30, 31) if step < last], tmp_path, devices=devices
    )


def test_resumed_with_a_loss_scaler(runner, new_run, tmp_path):
    """The scaler that 16-mixed has on a GPU, on the CPU; its scale changes on the way."""
    target = "tests.training.poisoned:scaled"
    whole = complete(runner, new_run(*EPOCHS, "trainer.precision=16-mixed", name="whole"), target=target)
    scale = read_checkpoint(whole.last_checkpoint)["MixedPrecision"]
    assert scale["scale"] != 65536 or scale["_growth_tracker"] > 0
    assert_resumes_exactly(runner, whole, [3, 15, 26], tmp_path, target=target)


def test_a_run_that_ended_without_its_result_gets_it(runner, new_run, tmp_path):
    whole = complete(runner, new_run(*EPOCHS, "trainer.early_stopping.patience=1", name="whole"))
    last = at_step(whole, 40, tmp_path / "again")
    complete(runner, last)
    assert differences(whole, last) == []
