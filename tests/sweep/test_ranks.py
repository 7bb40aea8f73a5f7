"""A sweep whose cells train on two ranks each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.sweep_folder import SweepFolder


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
