"""Random sweeps: point i is a function of the sweep's name, the seed and i; the grid of W&B, recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.yaml_lines import Located
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.cells import build_cells, swept_keys
from lit_transformer.sweep.choice import Choice, choose
from lit_transformer.sweep.command import run_config
from lit_transformer.sweep.dry_run import sweep_dry_run
from lit_transformer.sweep.file import SweepFile, parse_sweep, read_sweep
from lit_transformer.sweep.random_search import share
from lit_transformer.sweep.status import sweep_status
from tests.sweep.conftest import Drive
from tests.sweep.oracle.answers import answers


def located(value: object) -> Located:
    if isinstance(value, dict):
        return Located({key: located(item) for key, item in value.items()}, 1)
    if isinstance(value, list):
        return Located([located(item) for item in value], 1)
    assert value is None or isinstance(value, bool | int | float | str)
    return Located(value, 1)


def sweep_of(parameters: dict[str, object], method: str = "grid", **more: object) -> SweepFile:
    content = {"method": method, "program": "train.py", "parameters": parameters, **more}
    return parse_sweep(located(content), "sweep.yaml", "sweep")


def test_every_recorded_grid_of_wandb_in_its_order() -> None:
    different, cells = [], 0
    for case in answers("grid"):
        sweep = sweep_of(case["parameters"])
        points = choose(sweep)
        ours = [run_config(sweep.parameters, point.values) for point in points]
        cells += len(ours)
        if ours != case["cells"]:
            different.append((case, ours))
        assert len({point.name.lower() for point in points}) == len(points)
    assert not different, (len(different), different[0])
    assert cells > 20_000
    assert len(answers("grid")) == 2500


PARAMETERS: dict[str, object] = {
    "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
    "dropout": {"min": 0.0, "max": 0.5},
    "model": {"parameters": {"heads": {"values": [1, 2, 4]}, "layers": {"min": 1, "max": 6}}},
    "kind": {"value": "x"},
}


def drawn(parameters: dict[str, object], choice: Choice, **more: object) -> list[dict[str, object]]:
    return [dict(point.values) for point in choose(sweep_of(parameters, "random", **more), None, choice)]


def test_a_point_depends_on_the_name_the_seed_and_its_number_alone() -> None:
    first = drawn(PARAMETERS, Choice(count=30))
    assert drawn(PARAMETERS, Choice(count=50))[:30] == first
    fewer = {key: value for key, value in PARAMETERS.items() if key != "dropout"}
    assert drawn(fewer, Choice(count=30)) == [{k: v for k, v in point.items() if k != "dropout"} for point in first]
    for other in (drawn(PARAMETERS, Choice(count=30, seed=1)), drawn(PARAMETERS, Choice(count=30), name="other")):
        assert all(ours["lr"] != theirs["lr"] for ours, theirs in zip(first, other, strict=True))
    assert first[0].keys() == {"lr", "dropout", "model.heads", "model.layers"}
    assert share("sweep", 0, 7, "lr") == 0.3747948876557009  # on every machine, in every version


def test_points_have_names_of_their_own_even_where_the_values_are_the_same() -> None:
    points = choose(sweep_of({"a": {"values": ["x", "X"]}}, "random"), None, Choice(count=40))
    assert len({point.name.lower() for point in points}) == 40
    long = {f"parameter_{index}": {"distribution": "normal"} for index in range(20)}
    points = choose(sweep_of(long, "random"), None, Choice(count=40))
    assert len({point.name for point in points}) == 40
    assert max(len(point.name) for point in points) <= 120
    (name, *_) = [point.name for point in choose(sweep_of(PARAMETERS, "random"), None, Choice(count=1))]
    assert name.startswith("0000,")
    assert all(len(part) < 25 for part in name.split(","))


def test_the_shares_are_uniform_and_never_an_end() -> None:
    shares = sorted(share("s", 0, number, "lr") for number in range(4000))
    assert 0 < shares[0] < shares[-1] < 1
    # Kolmogorov and Smirnov's distance; 1.95 / sqrt(n) is passed once in a thousand
    assert max(abs(value - (index + 0.5) / 4000) for index, value in enumerate(shares)) < 1.95 / 4000**0.5


def test_a_random_sweep_without_an_end() -> None:
    with pytest.raises(UserError) as error:
        choose(sweep_of(PARAMETERS, "random"))
    for word in ("run_cap", "sweep.yaml", "never ends", "run_cap: 20", "--count 20"):
        assert word in str(error.value)
    with pytest.raises(UserError, match="--count 0"):
        choose(sweep_of(PARAMETERS, "random"), None, Choice(count=0))
    assert len(choose(sweep_of(PARAMETERS, "random", run_cap=7))) == 7
    assert len(choose(sweep_of(PARAMETERS, "random", run_cap=7), None, Choice(count=9))) == 9


def test_seeds_replicate_each_point_and_a_cap_counts_points() -> None:
    points = choose(sweep_of(PARAMETERS, "random", run_cap=4), 3)
    assert [point.values["seed"] for point in points] == [0, 1, 2] * 4
    assert len({point.values["lr"] for point in points}) == 4
    assert len({point.name for point in points}) == 12
    grid = {"a": {"values": [1, 2]}, "t": {"values": [1, 2]}}
    capped = [dict(point.values) for point in choose(sweep_of(grid, run_cap=3), 2)]
    assert capped == [{"a": a, "seed": seed, "t": t} for a, seed, t in
                      [(1, 0, 1), (1, 0, 2), (1, 1, 1), (1, 1, 2), (2, 0, 1), (2, 1, 1)]]  # fmt: skip
    assert [dict(point.values) for point in choose(sweep_of(grid, run_cap=3))] == [
        {"a": 1, "t": 1}, {"a": 1, "t": 2}, {"a": 2, "t": 1},
    ]  # fmt: skip


def test_a_grid_that_nobody_can_run() -> None:
    grid = {name: {"min": 0, "max": 99} for name in "abc"}
    with pytest.raises(UserError, match=r"1,000,000 cells"):
        choose(sweep_of(grid))


def random_sweep(write_sweep: Callable[..., Path], *parameters: str) -> Path:
    path = write_sweep(*parameters)
    path.write_text(path.read_text().replace("method: grid", "method: random\nrun_cap: 12"))
    return path


def test_cells_of_a_random_sweep_are_checked_before_the_first(write_sweep: Callable[..., Path]) -> None:
    path = random_sweep(
        write_sweep,
        "optimizer.lr: {distribution: log_uniform_values, min: 1e-5, max: 1e-2}",
        "model.num_layers: {min: 1, max: 3}",
        "model.d_ff: {distribution: q_uniform, min: 16, max: 64, q: 8}",
    )
    cells = build_cells(read_sweep(path))
    assert [cell.problem for cell in cells] == [None] * 12
    assert swept_keys(read_sweep(path)) == ["model.d_ff", "model.num_layers", "optimizer.lr"]
    for cell in cells:
        assert cell.config["optimizer"]["lr"] == cell.values["optimizer.lr"]  # type: ignore[index]
        assert cell.config["model"]["d_ff"] == cell.values["model.d_ff"]  # type: ignore[index]
    with pytest.raises(ConfigError) as error:
        build_cells(read_sweep(random_sweep(write_sweep, "model.num_layers: {min: 1.5, max: 3}")))
    (problem,) = error.value.problems
    assert (problem.key, problem.allowed) == ("model.num_layers", "integer")
    assert problem.origin.endswith("sweep.yaml:7")


def test_the_experiment_may_be_drawn(write_sweep: Callable[..., Path], experiment: Path) -> None:
    other = experiment.with_name("other.yaml")
    other.write_text(experiment.read_text().replace("d_model: 16", "d_model: 32"))
    path = random_sweep(write_sweep, "optimizer.lr: {min: 0.1, max: 0.5}")
    path.write_text(path.read_text().replace(f"{{value: {experiment}}}", f"{{values: [{experiment}, {other}]}}"))
    cells = build_cells(read_sweep(path))
    assert {cell.config["model"]["d_model"] for cell in cells} == {16, 32}  # type: ignore[index]


@pytest.mark.slow
def test_a_random_sweep_is_sized_run_and_continued(
    write_sweep: Callable[..., Path], drive: Callable[..., Drive], tmp_path: Path
) -> None:
    parameters = ["optimizer.lr: {distribution: log_uniform_values, min: 1e-4, max: 1e-2}",
                  "model.num_heads: {values: [1, 2, 4]}"]  # fmt: skip
    path = write_sweep(*parameters)
    path.write_text(path.read_text().replace("method: grid", "method: random\nrun_cap: 2"))
    dry = sweep_dry_run(str(path), seeds=2, output=tmp_path / "runs")
    assert len(dry.sizes) == 4
    running = drive(path, seeds=2)
    assert running.wait() == 0, running.log.read_text()
    found = sweep_status(running.folder)
    assert [view.cell for view in found.views] == [cell.name for cell in dry.plan.cells]
    assert {view.state for view in found.views} == {"complete"}
    for view in found.views:
        config = running_config(running.folder, view.cell)
        assert config["optimizer"]["lr"] == view.values["optimizer.lr"]
        assert config["seed"] == view.values["seed"]
    again = drive(path, seeds=2)
    assert again.wait() == 0, again.log.read_text()
    assert {view.attempts for view in sweep_status(running.folder).views} == {1}


def running_config(folder: Path, cell: str) -> dict[str, Any]:
    return SweepFolder(folder).cell(cell).read_config()
