"""Every task and system: a resumed run is the uninterrupted one, ranks change nothing, and every weight takes part."""

import itertools
import math

import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.nn.losses import IGNORED
from lit_transformer.tasks.base import inputs_of
from lit_transformer.training.prepare import prepare
from lit_transformer.training.registry import build_parts, open_prepared
from tests.training.chaos import Killer, kill_until
from tests.training.proofs import assert_ranks_agree, assert_resumes_exactly, complete, differences, start
from tests.training.systems import SYSTEMS, write_rows

pytestmark = pytest.mark.timeout(300)

RESUMED = ("trainer.max_steps=12", "trainer.val_every=4", "tracking.log_every=3", "model.dropout=0.1",
           "schedule.warmup_steps=3", "trainer.checkpoint_every=1", "trainer.keep_checkpoints=50")  # fmt: skip
AT = [5, 8]
"""Steps to resume from: the end of an epoch, and inside one right after a validation."""
BALANCED = ("bert_next_sentence", "gpt_choice", "bert_choice")
"""Either answer is right as often: gradients of biases cancel, and rounding becomes a larger share of them."""
LIKE_ANOTHER = ("bert_choice", "gpt_choices_as_text", "t5_as_text", "gpt_classifier", "gpt_choice", "gpt_as_text",
                "bert_next_sentence")  # fmt: skip
SAME_FAMILY = ("text_to_text", "bert_classifier", "prefix_lm")
LONGEST = [
    pytest.param(system, marks=[pytest.mark.slow, pytest.mark.long])
    if system in LIKE_ANOTHER
    else pytest.param(system, marks=pytest.mark.slow)
    if system in SAME_FAMILY
    else system
    for system in SYSTEMS
]
"""One system of each family in the default suite; what is much like another one is not even in CI."""
COMPILED = [
    system if system in ("bert", "t5", "glm", "translation") else pytest.param(system, marks=pytest.mark.long)
    for system in SYSTEMS
]
RANKS = ("trainer.max_steps=11", "trainer.val_every=6", "model.dropout=0")


@pytest.fixture(scope="module")
def settings_of(tmp_path_factory):
    """The settings of a system, its data written."""
    files = write_rows(tmp_path_factory.mktemp("rows"))
    return lambda system: (*SYSTEMS[system], *(files if "data.source=jsonl" in SYSTEMS[system] else ()))


@pytest.fixture
def parts_of(settings_of, tiny_settings):
    """What a rank of a system trains, in this process."""

    def make(system, *settings, rank=0, world_size=1):
        loaded = load_layers([shell_layer([*tiny_settings, *settings_of(system), *settings])])
        made = prepare(loaded.config)
        torch.manual_seed(0)
        return build_parts(made.config, open_prepared(made.config, made.data), rank=rank, world_size=world_size)

    return make


def epoch_of(parts):
    return list(itertools.islice(parts.data.train_dataloader(), parts.data.steps_per_epoch))


def gradients(task, batch, seed=0):
    """Loss and gradients of a batch, dropout drawn by a seed."""
    task.zero_grad()
    torch.manual_seed(seed)
    loss = task.training_sums(inputs_of(batch))["loss"]
    loss.backward()
    return loss.detach(), {name: weight.grad for name, weight in task.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("system", LONGEST)
def test_a_resumed_run_is_the_uninterrupted_one(runner, new_run, settings_of, tmp_path, system):
    whole = complete(runner, new_run(*settings_of(system), *RESUMED, name="whole"))
    rows = whole.read_metrics()
    assert [row["step"] for row in rows if "val/loss" in row] == [4, 8, 12]
    measured = {"translation": "bleu", "text_to_text": "bleu", "bert_next_sentence": "next_sentence_accuracy"}
    assert all(f"val/{measured.get(system, 'loss')}" in row for row in rows if "val/loss" in row)
    assert_resumes_exactly(runner, whole, AT, tmp_path)


@pytest.mark.parametrize("system", LONGEST)
def test_one_rank_equals_two_ranks_equals_accumulation(runner, new_run, settings_of, system):
    settings, tolerance = (*settings_of(system), *RANKS), 5e-6 if system in BALANCED else 1e-6
    assert_ranks_agree(runner, new_run, "run", settings=settings, tolerance=tolerance)


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_parameter_takes_part_in_every_step(parts_of, system, tied):
    """As DDP needs it without find_unused_parameters, also on a rank that got nothing but padding."""
    empty = 0
    for rank in range(2):
        parts = parts_of(system, f"model.tie_embeddings={tied}", "model.dropout=0.1", rank=rank, world_size=2)
        assert parts.data.steps_per_epoch == 5
        for batch in epoch_of(parts):
            loss, found = gradients(parts.task, batch)
            assert loss.isfinite() and all(grad is not None and grad.isfinite().all() for grad in found.values())
            nothing = bool((batch["targets"] == IGNORED).all())
            assert nothing == (not any(grad.any() for grad in found.values()))
            empty += nothing
    assert empty == (system != "gpt_as_text"), "the ragged step is too large to leave a rank without rows"


@pytest.mark.parametrize("system", SYSTEMS)
def test_recomputation_changes_nothing(parts_of, system):
    kept, recomputed = (
        parts_of(system, "model.dropout=0.1", f"trainer.activation_checkpointing={value}")
        for value in ("false", "true")
    )
    batch = epoch_of(kept)[0]
    (loss, found), (again, theirs) = gradients(kept.task, batch), gradients(recomputed.task, batch)
    assert loss == again
    assert all(torch.equal(found[name], grad) for name, grad in theirs.items())


@pytest.mark.parametrize("system", LONGEST)
def test_mixed_precision_with_an_average_and_recomputation(runner, new_run, settings_of, system):
    run = complete(
        runner,
        new_run(*settings_of(system), "trainer.max_steps=3", "tracking.log_every=1", "model.dropout=0.1",
                "trainer.ema_decay=0.9", "trainer.activation_checkpointing=true", "trainer.precision=bf16-mixed"),
    )  # fmt: skip
    rows = run.read_metrics()
    assert len(rows) == 3 and "val/loss" in rows[-1]
    assert all(math.isfinite(value) for row in rows for value in row.values())


@pytest.mark.slow
@pytest.mark.parametrize("system", COMPILED)
def test_a_compiled_step_is_the_plain_one(parts_of, system):
    parts, compiled = parts_of(system, "model.dropout=0"), parts_of(system, "model.dropout=0", "trainer.compile=true")
    compiled.task.configure_model()
    for batch in epoch_of(parts)[:2]:
        loss, found = gradients(parts.task, batch)
        compiled.task.zero_grad()
        again = compiled.task._training_sums(inputs_of(batch))["loss"]
        again.backward()
        torch.testing.assert_close(again, loss)
        for name, weight in compiled.task.named_parameters():
            torch.testing.assert_close(weight.grad, found[name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_kills_at_random_moments_of_a_translation(runner, new_run, settings_of):
    """With 14 steps an epoch, decoding at each validation, and a mean of the newest checkpoints at the end."""
    settings = (*settings_of("translation"), "data.max_tokens=22", "trainer.max_steps=100", "trainer.val_every=11",
                "model.dropout=0.1", "trainer.checkpoint_every=7", "trainer.keep_checkpoints=3",
                "trainer.average_checkpoints=3", "decoding.val_rows=2")  # fmt: skip
    whole = complete(runner, new_run(*settings, name="whole"))
    run, killer = new_run(*settings, name="killed"), Killer(seed=0)
    assert kill_until(lambda: start(runner, run), run, killer, 3) > 0
    complete(runner, run)
    assert differences(whole, run) == []


def test_lengths_of_runs_over_rows(runner, new_run, settings_of):
    rows = settings_of("text_to_text")
    twice = complete(runner, new_run(*rows, "trainer.max_epochs=2", "trainer.max_steps=null", name="twice"))
    assert twice.read_result()["steps"] == 10
    once = complete(runner, new_run(*rows, "trainer.fast_dev_run=true", name="once"))
    assert once.read_result()["steps"] == 1 and once.read_metrics()[-1]["val/loss"] > 0
    few = ("trainer.overfit_batches=2", "data.batch_size=4", "trainer.max_steps=250", "trainer.val_every=250",
           "optimizer.lr=1e-2", "model.d_model=32", "decoding.max_length=null")  # fmt: skip
    learned = complete(runner, new_run(*rows, *few, name="overfitted")).read_result()
    assert learned["metrics"]["val/exact_match"] == 1, "the rows that were learned, and their references"


def test_a_limited_validation_sees_rows_of_every_length(parts_of):
    for system in ("text_to_text", "bert_classifier"):
        lengths = [batch["inputs"].shape[-1] for batch in parts_of(system, "data.batch_size=2").data.val_dataloader()]
        assert lengths != sorted(lengths) and max(lengths[:3]) > min(lengths)


def test_a_share_of_less_than_one_batch_is_refused(parts_of):
    with pytest.raises(UserError, match=r"limit_val_batches: got 0\.1, less than one of 2 batches"):
        parts_of("text_to_text", "trainer.limit_val_batches=0.1").data.val_dataloader()


def test_overfitting_validates_on_the_rows_that_are_trained(parts_of):
    for sizes in (("data.batch_size=8",), ("data.max_tokens=64",)):
        parts = parts_of("text_to_text", *sizes, "trainer.overfit_batches=3", "trainer.accumulate=2")
        trained = list(itertools.islice(parts.data.train_dataloader(), 3))
        validated = list(parts.data.val_dataloader())
        assert len(validated) == 3
        for ours, theirs in zip(trained, validated, strict=True):
            assert torch.equal(ours["inputs"], theirs["inputs"]) and torch.equal(ours["targets"], theirs["targets"])
