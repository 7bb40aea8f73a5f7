"""The frozen plan: the same sweep goes on, another one is refused with the difference."""

from dataclasses import replace
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import flatten
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.plan import (
    Plan,
    PlannedCell,
    differences,
    read_configs,
    read_plan,
    with_dotted,
    write_configs,
    write_plan,
)

PLAN = Plan(
    name="demo",
    metric="val/loss",
    goal="minimize",
    swept=["model.num_heads"],
    threads=1,
    cells=[
        PlannedCell(
            name=f"num_heads={heads}",
            values={"model.num_heads": heads},
            config={"model": {"num_heads": heads, "d_ff": None}, "seed": 0},
            origins={"seed": "default"},
            prepared={"folder": "/cache/one", "fingerprint": "f"},
        )
        for heads in (1, 2)
    ]
    + [PlannedCell(name="num_heads=3", values={"model.num_heads": 3}, problem="3 does not divide 16")],
)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "demo")
    write_plan(made, PLAN, {"sweep": {"method": "grid"}, "overrides": {}, "seeds": None})
    return made


def test_a_plan_reads_back(folder: SweepFolder) -> None:
    read = read_plan(folder)
    assert (read.name, read.metric, read.goal, read.swept, read.threads) == (
        "demo",
        "val/loss",
        "minimize",
        PLAN.swept,
        1,
    )
    assert [(cell.name, cell.values, cell.problem) for cell in read.cells] == [
        (cell.name, cell.values, cell.problem) for cell in PLAN.cells
    ]
    assert {name: cell.config for name, cell in read_configs(folder).items()} == {
        cell.name: cell.config for cell in PLAN.valid()
    }
    assert differences(folder, PLAN) == []


def test_the_same_data_in_another_place_are_no_difference(folder: SweepFolder) -> None:
    moved = replace(PLAN, cells=[replace(cell, prepared={"folder": "/two", "fingerprint": "f"}) for cell in PLAN.cells])
    assert differences(folder, moved) == []
    write_configs(folder, moved)
    assert {str(cell.prepared["folder"]) for cell in read_configs(folder).values()} == {"/two"}


def test_differences_are_named(folder: SweepFolder) -> None:
    first, second, third = PLAN.cells
    changed = replace(first, config=with_dotted(first.config, {"model.d_ff": 64}), prepared={"fingerprint": "g"})
    other = replace(
        PLAN, goal="maximize", cells=[changed, replace(second, name="num_heads=8"), replace(third, problem=None)]
    )
    text = "\n".join(differences(folder, other))
    for line in (
        "goal: minimize -> maximize",
        "cells only in the sweep's folder: num_heads=2",
        "cells only in the file now: num_heads=8",
        "num_heads=3: 3 does not divide 16 -> can be built",
        "model.d_ff: None -> 64 in 1 cell",
        "data (fingerprint): f -> g in 1 cell",
    ):
        assert line in text


def test_folders_that_hold_no_sweep(folder: SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no sweep's folder"):
        read_plan(SweepFolder(tmp_path))
    plan = folder.plan_file.read_text()
    folder.plan_file.write_text(plan.replace('"version": 1', '"version": 99'))
    with pytest.raises(UserError, match="version 99"):
        read_plan(folder)
    folder.plan_file.write_text(plan[:50])
    with pytest.raises(UserError, match="cannot be read"):
        read_plan(folder)


def test_dotted_and_nested_are_inverse() -> None:
    nested = {"a": {"b": 1, "c": {"d": None}}, "e": [1]}
    assert with_dotted({}, flatten(nested)) == nested
    assert with_dotted(nested, {"a.b": 2, "x.y": 3})["a"] == {"b": 2, "c": {"d": None}}
    assert nested["a"]["b"] == 1  # type: ignore[index]
