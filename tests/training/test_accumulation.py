"""Accumulation under DDP: one reduction of the gradients a step, and the same numbers however a step is divided."""

import json

import pytest

from lit_transformer.training.checkpoints import read_checkpoint
from tests.training.poisoned import target
from tests.training.proofs import _distance, complete

pytestmark = pytest.mark.timeout(180)


def test_gradients_are_reduced_once_a_step(runner, new_run):
    run = new_run("trainer.accumulate=4", "trainer.devices=2", "data.batch_size=16", "trainer.max_steps=12")
    complete(runner, run, devices=2, target=target("counting_reductions"))
    for rank in range(2):
        counts = json.loads((run.path / f"reductions-{rank}.json").read_text())
        assert counts == {"reductions": 12, "micro_batches": 48, "find_unused_parameters": 0}


def test_four_micro_batches_of_two_ranks_are_eight_of_one_are_one_batch(runner, new_run):
    """25 steps over three epochs; the last step of each has blocks for two or three of its eight micro-batches."""
    length = ("trainer.max_steps=25", "data.batch_size=56", "trainer.val_every=9", "model.dropout=0")
    kinds = {"one": (1, 1), "eight": (8, 1), "four of two": (4, 2)}
    runs = {
        kind: complete(
            runner, new_run(*length, f"trainer.accumulate={accumulate}", f"trainer.devices={devices}", name=kind),
            devices=devices,
        )
        for kind, (accumulate, devices) in kinds.items()
    }  # fmt: skip
    rows = {kind: run.read_metrics() for kind, run in runs.items()}
    weights = {kind: read_checkpoint(run.last_checkpoint)["state_dict"] for kind, run in runs.items()}
    for kind in ("eight", "four of two"):
        for ours, theirs in zip(rows["one"], rows[kind], strict=True):
            assert ours.keys() == theirs.keys()
            for metric, value in ours.items():
                assert theirs[metric] == pytest.approx(value, rel=1e-6), f"{metric} of {kind} at step {ours['step']}"
        far = {name: _distance(weights["one"][name], its, name) for name, its in weights[kind].items()}
        assert max(far.values()) <= 1e-6, f"weights of {kind} differ by {far}"
