"""A cell's folder before its trial, on a machine that may lack the sweep's prepared data."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.preparing import prepare_cells
from lit_transformer.sweep.readying import LocalData, make_ready


def test_data_that_a_machine_lacks_are_prepared_there_and_compared(
    write_sweep: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = read_sweep(write_sweep("seed: {values: [0]}"))
    settings = {"trainer.threads": 1, "trainer.accelerator": "cpu"}
    (cell,) = prepare_cells(build_cells(sweep), settings)
    run = RunFolder(tmp_path / "cell")
    assert make_ready(run, cell, LocalData())
    assert read_json(run.prepared_file) == cell.prepared and run.read_config() == cell.config
    (run.path / "metrics.jsonl").touch()
    (run.path / "result.json").touch()

    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(elsewhere))
    shutil.rmtree(tmp_path / "cache")
    data = LocalData()
    here = data.of(cell)
    assert here["fingerprint"] == cell.prepared["fingerprint"]
    assert Path(str(here["folder"])).is_relative_to(elsewhere)
    assert make_ready(run, cell, data)
    assert read_json(run.prepared_file) == here
    assert (run.path / "metrics.jsonl").exists()  # the attempt goes on
    assert not (run.path / "result.json").exists()

    assert make_ready(run, replace(cell, config={**cell.config, "seed": 5}), data)
    assert not (run.path / "metrics.jsonl").exists()  # another cell's

    (tmp_path / "text.txt").write_text("other words than those of the sweep. " * 100, encoding="utf-8")
    shutil.rmtree(elsewhere)
    with pytest.raises(UserError, match=r"data are not the sweep's(.|\n)*allowed(.|\n)*LIT_TRANSFORMER_CACHE"):
        LocalData().of(cell)
