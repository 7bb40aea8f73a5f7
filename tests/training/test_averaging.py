"""The exponential average of the weights, against a plain loop over the weights of every step."""

import pytest
import torch

from lit_transformer.config.errors import ConfigError
from lit_transformer.inference.evaluate import evaluate
from lit_transformer.training.checkpoints import read_checkpoint
from tests.training.proofs import complete

pytestmark = pytest.mark.timeout(300)

DECAY = 0.8
EVERY = ("trainer.checkpoint_every=1", "trainer.keep_checkpoints=100", "optimizer.lr=1e-2", "model.dropout=0.1")
"""12 steps, each one saved, validated after steps 5, 10 and 12."""


@pytest.fixture
def runs(runner, new_run):
    """The same run with averaging and without."""
    averaged = complete(runner, new_run(*EVERY, f"trainer.ema_decay={DECAY}", name="averaged"))
    return averaged, complete(runner, new_run(*EVERY, name="plain"))


def weights_of(run, step):
    path = run.last_checkpoint if step == 12 else run.checkpoints / f"step-{step}.ckpt"
    return read_checkpoint(path)["state_dict"]


def averages(run):
    """Step -> the average after it, in double precision."""
    found = {1: {name: weight.double() for name, weight in weights_of(run, 1).items()}}
    for step in range(2, 13):
        newest = weights_of(run, step)
        found[step] = {name: DECAY * old + (1 - DECAY) * newest[name] for name, old in found[step - 1].items()}
    return found


def furthest(mine, theirs):
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


def test_the_average_is_that_of_a_plain_loop(runs):
    averaged, plain = runs
    expected = averages(averaged)
    for step in range(1, 13):
        path = averaged.last_checkpoint if step == 12 else averaged.checkpoints / f"step-{step}.ckpt"
        checkpoint = read_checkpoint(path)
        average = {
            name.replace("module.", "network.", 1): weight
            for name, weight in checkpoint["average"].items()
            if name != "n_averaged"
        }
        assert average.keys() == checkpoint["state_dict"].keys() == expected[step].keys()
        assert furthest(average, expected[step]) <= 1e-6
        assert step == 1 or furthest(average, checkpoint["state_dict"]) > 1e-4, "and it is not the weights themselves"
    for step in range(1, 13):  # averaging watches the training and changes nothing of it
        mine, its = weights_of(averaged, step), weights_of(plain, step)
        assert all(torch.equal(mine[name], its[name]) for name in its)


def test_validation_and_best_checkpoint_take_the_average(runs):
    averaged, plain = runs
    result = averaged.read_result()
    best = read_checkpoint(averaged.best_checkpoint)
    assert best["global_step"] == result["best_step"]
    assert furthest(best["state_dict"], averages(averaged)[result["best_step"]]) <= 1e-6
    assert "average" not in best
    assert evaluate(averaged.path, "val") == pytest.approx(result["metrics"], rel=1e-6)
    mine, its = (
        {row["step"]: row["val/loss"] for row in run.read_metrics() if "val/loss" in row} for run in (averaged, plain)
    )
    assert mine.keys() == its.keys() == {5, 10, 12}
    assert all(abs(mine[step] - its[step]) > 1e-4 for step in mine)
    losses = [
        {row["step"]: row["train/loss"] for row in run.read_metrics() if "train/loss" in row}
        for run in (averaged, plain)
    ]
    assert losses[0] == losses[1]


def test_decay_0_is_the_newest_weights(runner, new_run):
    run = complete(runner, new_run("trainer.ema_decay=0", "trainer.max_steps=5"))
    last, best = (read_checkpoint(path)["state_dict"] for path in (run.last_checkpoint, run.best_checkpoint))
    assert all(torch.equal(last[name], best[name]) for name in last)


@pytest.mark.parametrize("decay", ["1.5", "1", "-0.1", ".nan"])
def test_a_decay_that_is_none_is_refused(new_run, decay):
    with pytest.raises(ConfigError, match=r"trainer\.ema_decay(.|\n)*0 <= value < 1"):
        new_run(f"trainer.ema_decay={decay}")
