"""Cells: loaded and checked before the first trial."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.layers import PROJECT
from lit_transformer.config.load import from_plain
from lit_transformer.models.flops import experiment_cost
from lit_transformer.sweep.cells import Cell, build_cells, swept_keys
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.plan import with_dotted

WriteSweep = Callable[..., Path]


def cells_of(path: Path, *overrides: str, seeds: int | None = None) -> list[Cell]:
    return build_cells(read_sweep(path), overrides, seeds)


def test_a_cell_is_its_experiment_its_values_and_the_overrides(write_sweep: WriteSweep) -> None:
    path = write_sweep("model.d_model: {value: 8}", "model.num_heads: {values: [1, 2]}")
    first, second = cells_of(path, "optimizer.lr=0.5")
    assert (first.name, second.name) == ("num_heads=1", "num_heads=2")
    model, optimizer = second.config["model"], second.config["optimizer"]
    assert (model["num_heads"], model["d_model"], optimizer["lr"]) == (2, 8, 0.5)  # type: ignore[index]
    assert second.origins["model.num_heads"].endswith("sweep.yaml:7")
    assert second.origins["optimizer.lr"] == "command line"
    assert second.origins["model.num_layers"].endswith("tiny.yaml:3")
    assert swept_keys(read_sweep(path)) == ["model.num_heads"]


def test_seeds_replicate_every_cell(write_sweep: WriteSweep) -> None:
    path = write_sweep("model.num_heads: {values: [1, 2]}", "seed: {value: 7}")
    names = [cell.name for cell in cells_of(path, seeds=3)]
    assert names == [f"num_heads={heads},seed={seed}" for heads in (1, 2) for seed in (0, 1, 2)]
    assert [cell.config["seed"] for cell in cells_of(path, seeds=3)] == [0, 1, 2] * 2
    with pytest.raises(UserError, match="--seeds 0"):
        cells_of(path, seeds=0)


def test_an_impossible_cell_is_kept_with_its_reason_and_hides_no_other(write_sweep: WriteSweep) -> None:
    cells = cells_of(write_sweep("model.num_heads: {values: [1, 3, 2]}"))
    assert [cell.problem is None for cell in cells] == [True, False, True]
    assert "3" in str(cells[1].problem)
    assert "16" in str(cells[1].problem)
    assert cells[1].config == {}


def test_the_experiment_may_be_swept(write_sweep: WriteSweep, experiment: Path) -> None:
    other = experiment.with_name("other.yaml")
    other.write_text(experiment.read_text().replace("d_model: 16", "d_model: 32"))
    path = write_sweep("seed: {value: 0}")
    path.write_text(path.read_text().replace(f"{{value: {experiment}}}", f"{{values: [{experiment}, {other}]}}"))
    cells = cells_of(path)
    assert [cell.config["model"]["d_model"] for cell in cells] == [16, 32]  # type: ignore[index]
    assert [cell.config["experiment"] for cell in cells] == ["tiny", "other"]
    assert len({cell.name for cell in cells}) == 2


@pytest.mark.parametrize(
    ("parameter", "overrides", "words"),
    [
        ("n_heads: {values: [1, 2]}", [], ["n_heads", "sweep.yaml:6", "did you mean model.num_heads"]),
        ("model.num_head: {value: 1}", [], ["model.num_head", "did you mean model.num_heads"]),
        ("model.num_heads: {values: [1, two]}", [], ["model.num_heads", "'two'", "integer"]),
        ("seed: {values: [0, 1]}", ["seed=3"], ["seed=3, which the sweep varies", "sweep.yaml:6"]),
        ("seed: {values: [0, 1]}", ["lr=3"], ["lr", "command line", "did you mean optimizer.lr"]),
        ("seed: {values: [0, 1]}", ["optimizer.lr=fast"], ["optimizer.lr", "'fast'", "command line"]),
        ("seed: {values: [0, 1]}", ["experiment=gpt_tyni"], ["gpt_tyni", "did you mean gpt_tiny"]),
        ("seed: {values: [0, 1]}", ["optimizer.lr"], ["optimizer.lr", "key=value"]),
    ],
)
def test_mistakes(write_sweep: WriteSweep, parameter: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        cells_of(write_sweep(parameter), *overrides)
    for word in words:
        assert word in str(error.value)


def test_a_metric_that_the_task_never_logs(write_sweep: WriteSweep) -> None:
    path = write_sweep("seed: {values: [0, 1]}")
    path.write_text(path.read_text().replace("val/loss", "val/bleu"))
    with pytest.raises(ConfigError) as error:
        cells_of(path)
    for word in ("metric.name", "sweep.yaml:3", "val/bleu", "language_model never logs", "val/loss"):
        assert word in str(error.value)


@pytest.mark.parametrize("name", ["cloze", "next_sentence"])
def test_a_metric_that_a_setting_asks_for_needs_the_setting(
    name: str, write_sweep: WriteSweep, experiment: Path
) -> None:
    experiment.write_text(experiment.read_text().replace("kind: gpt", "kind: bert"))
    path = write_sweep("seed: {values: [0, 1]}")
    path.write_text(path.read_text().replace("val/loss", f"val/{name}_accuracy"))
    other = {"cloze": "next_sentence", "next_sentence": "cloze"}[name]
    for given in ([], [f"objective.{other}=true"]):
        with pytest.raises(ConfigError) as error:
            cells_of(path, *given)
        (problem,) = error.value.problems
        assert problem.got == f"val/{name}_accuracy, which is not measured here"
        assert problem.fix == f"set objective.{name}: {{value: true}}"
        assert (f"val/{other}_accuracy" in problem.allowed) == bool(given)
    assert [cell.problem for cell in cells_of(path, f"objective.{name}=true")] == [None, None]


def test_the_iou_of_a_class_is_known_with_the_data_alone(write_sweep: WriteSweep) -> None:
    path = write_sweep("seed: {values: [0, 1]}")
    text = path.read_text().replace("val/loss", "val/iou/road")
    path.write_text(text)
    with pytest.raises(ConfigError, match="language_model never logs"):
        cells_of(path)
    lines = [
        line if "experiment:" not in line else "  experiment: {value: segmenter_tiny}" for line in text.splitlines()
    ]
    path.write_text("\n".join(lines))
    assert len(cells_of(path)) == 2


def test_all_mistakes_at_once(write_sweep: WriteSweep) -> None:
    path = write_sweep("n_heads: {values: [1, 2]}", "seed: {values: [x]}")
    path.write_text(path.read_text().replace("val/loss", "loss"))
    with pytest.raises(ConfigError) as error:
        cells_of(path, "batch=3")
    assert {problem.key for problem in error.value.problems} == {"n_heads", "seed", "batch", "metric.name"}


GRIDS = [path for path in sorted((PROJECT / "sweeps").glob("*.yaml")) if path.stem != "gpt_lr_bayes"]
"""The others' cells follow from results: tests/test_experiments.py builds those that are drawn before."""


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_cell_of_the_sweeps_that_ship_can_be_built(path: Path) -> None:
    cells = cells_of(path)
    assert [cell.problem for cell in cells] == [None] * len(cells)
    assert len({cell.name for cell in cells}) == len(cells)
    for cell in cells:
        text = "vocab_size" in cell.config["model"]  # type: ignore[operator]
        config = from_plain(with_dotted(cell.config, {"model.vocab_size": 64} if text else {}))
        assert experiment_cost(config).parameters > 0


def test_the_demo_has_nine_cells() -> None:
    names = [cell.name for cell in cells_of(PROJECT / "sweeps" / "demo.yaml")]
    assert names == [f"num_heads={heads},num_layers={layers}" for heads in (1, 2, 4) for layers in (1, 2, 4)]
    assert len(cells_of(PROJECT / "sweeps" / "gpt_heads_layers.yaml")) == 27
