"""A sweep whose cells train on two ranks each."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.status import sweep_status


def test_cells_on_two_ranks_equal_cells_on_one(write_sweep: Callable[..., Path], drive: Callable[..., Any]) -> None:
    sweep = write_sweep("model.num_heads: {values: [1, 2]}", "model.dropout: {value: 0.0}")
    folders = {}
    for devices in (1, 2):
        run = drive(sweep, f"ranks-{devices}", overrides=[f"trainer.devices={devices}", "trainer.threads=1"])
        assert run.wait() == 0, run.log.read_text()
        folders[devices] = SweepFolder(run.folder)
    for cell in ("num_heads=1", "num_heads=2"):
        one, two = (folders[devices].cell(cell).read_metrics() for devices in (1, 2))
        assert [row["step"] for row in one] == [row["step"] for row in two] == [2, 3, 4, 6]
        for ours, theirs in zip(one, two, strict=True):
            for name, value in ours.items():
                assert theirs[name] == pytest.approx(value, rel=1e-6), (cell, ours["step"], name)


BROKEN = """
import os
import lit_transformer.config.load as load

real = load.from_plain


def from_plain(*arguments):
    config = real(*arguments)
    return load.with_values(config, {"optimizer.lr": 0.5}) if os.environ.get("RANK") == "1" else config


load.from_plain = from_plain
"""


@pytest.mark.slow
def test_a_rank_with_other_settings_is_caught_before_the_first_step(
    write_sweep: Callable[..., Path], drive: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "broken"), os.getcwd()]))
    run = drive(write_sweep("seed: {values: [0]}"), overrides=["trainer.devices=2", "trainer.threads=1"])
    assert run.wait() == 1, run.log.read_text()
    (view,) = sweep_status(run.folder).views
    assert view.state == "failed"
    assert "rank 1 sees another run" in str(view.reason) and "  fix " in str(view.reason)
    assert SweepFolder(run.folder).cell("seed=0").read_metrics() == []
