"""The mean of the newest checkpoints that a run ends with, against a plain one, whatever happens on the way."""

import pytest
import torch

from lit_transformer.config.errors import ConfigError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.training.checkpoints import read_checkpoint
from lit_transformer.training.identity import changes, identity
from tests.training.poisoned import Fault, target
from tests.training.proofs import assert_ranks_agree, at_step, complete, differences, start

pytestmark = pytest.mark.timeout(180)

SETTINGS = ("trainer.max_steps=13", "trainer.val_every=100", "trainer.checkpoint_every=3", "trainer.keep_checkpoints=3",
            "trainer.average_checkpoints=3", "optimizer.lr=1e-2", "model.dropout=0.1")  # fmt: skip
"""The mean of the weights after steps 9, 12 and 13."""


WORSENING = (*SETTINGS, "trainer.val_every=5", "optimizer.lr=3", "schedule.warmup_steps=13")
"""The same, but with a learning rate that grows far too high: every validation is worse than the one before."""


@pytest.fixture(scope="module")
def whole(trained):
    return trained("whole", *SETTINGS)


@pytest.fixture(scope="module")
def worsening(trained):
    return trained("worsening", *WORSENING)


@pytest.mark.parametrize("name", ["whole", "worsening"])
def test_the_best_checkpoint_holds_the_mean(request, name):
    whole = request.getfixturevalue(name)
    last, best = read_checkpoint(whole.last_checkpoint), read_checkpoint(whole.best_checkpoint)
    earlier = [read_checkpoint(whole.checkpoints / f"step-{step}.ckpt") for step in (9, 12)]
    assert best["global_step"] == whole.read_result()["best_step"] == 13
    for weight, mean in best["state_dict"].items():
        weights = [checkpoint["state_dict"][weight].double() for checkpoint in (*earlier, last)]
        assert torch.equal(mean, (sum(weights) / 3).float()), weight
        assert not torch.equal(mean, last["state_dict"][weight])
    assert evaluate(whole.path, "val") == pytest.approx(whole.read_result()["metrics"], rel=1e-6)


def test_it_is_kept_though_a_single_checkpoint_did_better(worsening):
    losses = {row["step"]: row["val/loss"] for row in worsening.read_metrics() if "val/loss" in row}
    result = worsening.read_result()
    assert list(losses) == [5, 10, 13] and losses[5] < losses[10] < losses[13]
    assert result["metrics"]["val/loss"] == losses[13]


@pytest.mark.parametrize("name", ["whole", "worsening"])
@pytest.mark.parametrize("step", [9, 12])
def test_killed_on_the_way(request, runner, name, tmp_path, step):
    whole = request.getfixturevalue(name)
    assert differences(whole, complete(runner, at_step(whole, step, tmp_path / "killed"))) == []


def test_stopped_by_signals_on_the_way(runner, new_run, whole):
    """What they leave is gone on from, and takes no place in the mean."""
    run = Fault(steps=[5, 10, 11]).put(new_run(*SETTINGS))
    for step in (5, 10, 11):
        assert start(runner, run, target=target("stopped")).wait() == 143, run.log_file.read_text()
        assert read_checkpoint(run.last_checkpoint)["global_step"] == step
    complete(runner, run, target=target("stopped"))
    assert differences(whole, run) == []


def test_ranks_change_nothing(runner, new_run):
    assert_ranks_agree(runner, new_run, "run", settings=(*SETTINGS, "model.dropout=0"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["trainer.keep_checkpoints=2"], "3 with keep_checkpoints 2"),
        (["trainer.checkpoint_every=10min"], "at fixed steps"),
        (["trainer.early_stopping.patience=2"], "3 with patience 2"),
        (["trainer.ema_decay=0.9"], "one kind of average"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_does_not_go_with_a_mean_is_refused(settings, words):
    with pytest.raises(ConfigError, match=rf"trainer\.average_checkpoints(.|\n)*{words}"):
        load_layers([shell_layer([*SETTINGS, *settings])])


def test_saving_at_other_steps_changes_the_mean():
    def change(*settings):
        old, new = (
            identity(load_layers([shell_layer([*SETTINGS, *further])]).config, "data") for further in ((), settings)
        )
        return [str(found) for found in changes(old, new)]

    assert change("trainer.checkpoint_every=4") == ["trainer.checkpoint_every: 3 -> 4"]
    assert change("trainer.keep_checkpoints=7") == []
    assert len(change("trainer.checkpoint_every=4", "trainer.average_checkpoints=0")) == 2
