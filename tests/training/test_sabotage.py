"""Proofs that the proofs work: each thing that resume depends on is broken once, and its proof turns red."""

import os
from pathlib import Path

import pytest

from lit_transformer.records.checkpoints import BEST, LAST, CheckpointFolder
from tests.records.power_cut import assert_survives_power_cuts, record_saves
from tests.training.proofs import (
    EPOCHS,
    assert_damage_is_found,
    assert_ranks_agree,
    assert_resumes_exactly,
    assert_second_signal_ends_at_once,
    complete,
)

pytestmark = pytest.mark.timeout(600)
INSIDE = [7]
"""A step inside the first epoch and the warm-up, between two rows of the log."""


@pytest.mark.parametrize(
    ("sabotage", "step"),
    [
        ("without_random_state", 7),
        ("without_sampler_position", 7),
        ("with_the_schedule_one_step_late", 2),
        ("with_metrics_written_twice", 7),
    ],
)
def test_a_resume_that_restores_less_is_noticed(runner, new_run, tmp_path, sabotage, step):
    whole = complete(runner, new_run(*EPOCHS, name="whole"))
    assert_resumes_exactly(runner, whole, [step], tmp_path / "right")
    with pytest.raises(AssertionError, match=f"resumed from step {step}: .*metrics.jsonl"):
        assert_resumes_exactly(runner, whole, [step], tmp_path / "wrong", target=f"tests.training.sabotage:{sabotage}")


def test_a_checksum_that_is_not_looked_at_is_noticed(runner, new_run, tmp_path):
    whole = complete(runner, new_run(*EPOCHS, name="whole"))
    assert_damage_is_found(runner, whole, tmp_path / "right")
    with pytest.raises(AssertionError, match="a flipped bit"):
        assert_damage_is_found(runner, whole, tmp_path / "wrong", target="tests.training.sabotage:without_checksum")


def test_ranks_averaged_unweighted_are_noticed(runner, new_run):
    assert_ranks_agree(runner, new_run, "right")
    with pytest.raises(AssertionError, match=r"^(train/|val/|gradient_norm|weights)"):
        assert_ranks_agree(runner, new_run, "wrong", target="tests.training.sabotage:with_ranks_averaged_unweighted")


def test_an_ignored_second_signal_is_noticed(runner, new_run):
    with pytest.raises(AssertionError, match="ended at once"):
        assert_second_signal_ends_at_once(
            runner, new_run, "wrong", target="tests.training.sabotage:ignoring_the_second_signal"
        )


def test_a_rename_without_fsync_is_noticed(tmp_path, monkeypatch):
    def assert_saves_survive(name: str) -> None:
        folder = CheckpointFolder(tmp_path / name / "saved")
        folder.path.mkdir(parents=True)

        def save(kind: str, step: int) -> object:
            data = bytes([step]) * 5000
            return folder.save(kind, lambda file: file.write(data), step=step, resumable=kind == LAST, facts={})

        record = record_saves(folder, [lambda: save(LAST, 1), lambda: save(BEST, 1), lambda: save(LAST, 2)])  # type: ignore[list-item, return-value]
        assert_survives_power_cuts(record, Path(tmp_path / name / "cut"))

    for name in ("right", "wrong"):
        (tmp_path / name / "cut").mkdir(parents=True)
    assert_saves_survive("right")
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    with pytest.raises(AssertionError, match="power cut before call"):
        assert_saves_survive("wrong")
