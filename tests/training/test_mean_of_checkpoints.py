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


@pytest.fixture(scope="module")
def whole(trained):
    return trained("whole", *SETTINGS)


def test_the_best_checkpoint_holds_the_mean(whole):
    last, best = read_checkpoint(whole.last_checkpoint), read_checkpoint(whole.best_checkpoint)
    earlier = [read_checkpoint(whole.checkpoints / f"step-{step}.ckpt") for step in (9, 12)]
    assert best["global_step"] == whole.read_result()["best_step"] == 13
    for name, mean in best["state_dict"].items():
        weights = [checkpoint["state_dict"][name].double() for checkpoint in (*earlier, last)]
        assert torch.equal(mean, (sum(weights) / 3).float()), name
        assert not torch.equal(mean, last["state_dict"][name])
    assert evaluate(whole.path, "val") == pytest.approx(whole.read_result()["metrics"], rel=1e-6)


@pytest.mark.parametrize("step", [9, 12])
def test_killed_on_the_way(runner, whole, tmp_path, step):
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
