"""How a bayes sweep grows: one leader, no point twice, no kill that loses one, an end at run_cap or the target."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.begin import begin_growth, first_cells, stop_rule
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger, read_claims
from lit_transformer.sweep.plan import Plan, PlannedCell, read_configs, read_plan, write_plan
from lit_transformer.sweep.propose import Next, Proposer, points_of, seen_points, unproposed, why_ended
from lit_transformer.sweep.search import Frozen, freeze_search, read_search, search_differences
from lit_transformer.sweep.status import sweep_status

LR = "optimizer.lr: {distribution: log_uniform_values, min: 1.0e-4, max: 0.1}"
LAYERS = "model.num_layers: {values: [1, 2]}"


@pytest.fixture
def bayes(write_sweep: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a bayes sweep of four points with these parameters, and these lines at the end."""

    def write(*parameters: str, end: str = "run_cap: 4", name: str = "bayes.yaml") -> Path:
        path = write_sweep(*(parameters or (LR,)), name=name)
        path.write_text(path.read_text().replace("method: grid", "method: bayes") + f"{end}\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def begun(bayes: Callable[..., Path], tmp_path: Path) -> Callable[..., SweepFolder]:
    """The folder of such a sweep with its first point, its data said to be prepared."""

    def begin(*parameters: str, end: str = "run_cap: 4", seeds: int | None = None) -> SweepFolder:
        growth = begin_growth(read_sweep(bayes(*parameters, end=end)), seeds=seeds)
        assert growth is not None
        folder = SweepFolder(tmp_path / "runs")
        cells = [
            PlannedCell(name=cell.name, values=cell.values, problem=cell.problem, config=cell.config,
                        origins=cell.origins, prepared={"folder": "nowhere", "fingerprint": "f"}, u=cell.u)
            for cell in first_cells(growth)
        ]  # fmt: skip
        freeze_search(folder, Frozen(growth=replace(growth, settings={"trainer.threads": 1})))
        plan = Plan(name="bayes", metric="val/loss", goal="minimize", swept=["optimizer.lr"], threads=1, cells=cells)
        write_plan(folder, plan, {})
        return folder

    return begin


def proposer(folder: SweepFolder, holder: Holder | None = None) -> Proposer:
    growth = read_search(folder).growth
    assert growth is not None
    return Proposer(folder, growth, holder or Holder.here("test"))


def end(folder: SweepFolder, cell: str, status: str, values: list[float | None]) -> None:
    """Let a cell have ended with these values."""
    claim = Ledger(folder.claims, [cell], Holder.here("test")).claim()
    assert claim is not None
    run = folder.cell(cell)
    write_json(run.result_file, {"status": status})
    rows = [json.dumps({"step": step, "val/loss": value}) for step, value in enumerate(values, 1)]
    run.metrics_file.write_text("\n".join(rows) + "\n")
    claim.end(status)  # type: ignore[arg-type]


def test_it_grows_to_run_cap_with_whole_configurations(begun: Callable[..., SweepFolder]) -> None:
    folder = begun()
    leader = proposer(folder)
    assert unproposed(folder, read_plan(folder).cells) == 3
    assert [leader.propose() for _ in range(4)] == [Next.GROWN, Next.GROWN, Next.GROWN, Next.OVER]
    plan, configs = read_plan(folder), read_configs(folder)
    assert len(points_of(plan.cells)) == len(plan.cells) == len({cell.name for cell in plan.cells}) == 4
    for number, cell in enumerate(plan.cells):
        config: Any = configs[cell.name].config
        assert cell.name.startswith(f"{number:04d},lr=")
        assert config["optimizer"]["lr"] == cell.values["optimizer.lr"]
        assert config["trainer"]["max_steps"] == 6
        assert configs[cell.name].prepared == {"folder": "nowhere", "fingerprint": "f"}  # nothing that data depend on
    assert sweep_status(folder.path).exit_status == 1
    for cell in plan.cells:
        end(folder, cell.name, "complete", [2.0, 1.0])
    assert sweep_status(folder.path).exit_status == 0


def test_a_sweep_with_points_to_come_is_not_done(begun: Callable[..., SweepFolder]) -> None:
    folder = begun()
    end(folder, read_plan(folder).cells[0].name, "complete", [1.0])
    status = sweep_status(folder.path)
    assert (status.exit_status, status.unproposed) == (1, 3)
    assert status.to_json()["unproposed"] == 3


@pytest.mark.parametrize(("parameters", "seeds"), [((), 3), (("seed: {values: [0, 1, 2]}",), None)])
def test_seeds_train_every_point(
    begun: Callable[..., SweepFolder], parameters: tuple[str, ...], seeds: int | None
) -> None:
    folder = begun(LR, *parameters, end="run_cap: 2", seeds=seeds)
    assert proposer(folder).propose() is Next.GROWN
    assert proposer(folder).propose() is Next.OVER
    plan = read_plan(folder)
    points = points_of(plan.cells)
    assert [[cell.values["seed"] for cell in cells] for cells in points.values()] == [[0, 1, 2], [0, 1, 2]]
    first = next(iter(points.values()))
    assert len({cell.values["optimizer.lr"] for cell in first}) == 1
    for cell, best in zip(first, (1.0, 2.0, 6.0), strict=True):
        assert seen_points(folder, plan, "minimize")[0].state == "running"
        end(folder, cell.name, "complete", [9.0, best])
    seen = seen_points(folder, plan, "minimize")
    assert [(item.state, item.values) for item in seen] == [("complete", (3.0,)), ("running", ())]


def test_what_came_of_a_point(begun: Callable[..., SweepFolder]) -> None:
    folder = begun(end="run_cap: 5")
    for _ in range(4):
        proposer(folder).propose()
    names = [cell.name for cell in read_plan(folder).cells]
    end(folder, names[0], "complete", [3.0, None, 1.0])
    end(folder, names[1], "pruned", [4.0])
    end(folder, names[2], "diverged", [5.0, None])
    end(folder, names[3], "failed", [])
    seen = seen_points(folder, read_plan(folder), "minimize")
    assert [(item.state, item.values) for item in seen] == [
        ("complete", (3.0, 1.0)), ("pruned", (4.0,)), ("failed", (5.0,)), ("failed", ()), ("running", ()),
    ]  # fmt: skip


def test_a_closed_sweep_proposes_nothing_more(begun: Callable[..., SweepFolder]) -> None:
    folder = begun(end="run_cap: 4")
    end(folder, read_plan(folder).cells[0].name, "complete", [2.0, 1.4])
    Ledger(folder.claims, [], Holder.here("test")).close("the target is reached")
    assert proposer(folder).propose() is Next.OVER
    status = sweep_status(folder.path)
    assert (status.exit_status, status.unproposed, status.closed) == (0, 0, "the target is reached")


def test_a_list_of_points_is_used_up(begun: Callable[..., SweepFolder]) -> None:
    folder = begun(LAYERS, end="run_cap: 9")
    found = [proposer(folder).propose() for _ in range(2)]
    assert found == [Next.GROWN, Next.OVER]
    assert {cell.values["model.num_layers"] for cell in read_plan(folder).cells} == {1, 2}
    assert why_ended(folder) == "every point of the search is there"


def test_a_point_that_cannot_be_built_is_kept_with_its_reason(begun: Callable[..., SweepFolder]) -> None:
    folder = begun("model.num_heads: {values: [1, 3, 4]}", end="run_cap: 9")
    while proposer(folder).propose() is Next.GROWN:
        pass
    problems = {cell.values["model.num_heads"]: cell.problem for cell in read_plan(folder).cells}
    assert problems.keys() == {1, 3, 4}
    assert "num_heads 3" in str(problems[3])
    assert problems[1] is None


def test_one_of_two_leaders_proposes(begun: Callable[..., SweepFolder]) -> None:
    folder = begun()
    other = Ledger(folder.proposals, ["1"], Holder.here("other")).claim()  # lives, and has not written yet
    assert other is not None
    assert proposer(folder).propose() is Next.WAIT
    assert len(read_plan(folder).cells) == 1
    other.end("again")
    assert proposer(folder).propose() is Next.GROWN
    dead = Holder(worker="dead", host=Holder.here("x").host, pid=2**22 + 1, started=0.0)
    assert Ledger(folder.proposals, ["2"], dead).claim() is not None
    assert proposer(folder).propose() is Next.GROWN  # taken over
    assert {name: known.ends for name, known in read_claims(folder.proposals).items()} == {
        "1": {1: "again", 2: "complete"}, "2": {2: "complete"},
    }  # fmt: skip


LOOP = """
import sys
from pathlib import Path
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.propose import Next, Proposer
from lit_transformer.sweep.search import read_search
folder = SweepFolder(Path(sys.argv[1]))
leader = Proposer(folder, read_search(folder).growth, Holder.here(sys.argv[2]))
while leader.propose() is not Next.OVER:
    pass
assert "torch" not in sys.modules
"""


def test_leaders_that_are_killed_lose_no_point_and_propose_none_twice(begun: Callable[..., SweepFolder]) -> None:
    folder = begun(end="run_cap: 15")

    def start(name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", LOOP, str(folder.path), name], env={**os.environ})

    leaders = [start(f"leader-{index}") for index in range(2)]
    for kill in range(2):
        wanted = 4 + 4 * kill
        until = time.monotonic() + 120
        while len(read_plan(folder).cells) < wanted and time.monotonic() < until:
            time.sleep(0.005)
        leaders[kill].send_signal(signal.SIGKILL)
        leaders.append(start(f"again-{kill}"))
    assert [leader.wait(200) for leader in leaders[2:]] == [0, 0]
    cells = read_plan(folder).cells
    assert [cell.name[:4] for cell in cells] == [f"{number:04d}" for number in range(15)]
    assert len(points_of(cells)) == 15
    assert read_configs(folder).keys() == {cell.name for cell in cells}


def test_what_a_bayes_sweep_needs_is_said(bayes: Callable[..., Path]) -> None:
    for parameters, end_, words in (
        ((LR,), "description: no end", "run_cap.*never ends.*--count 20"),
        (("optimizer.lr: {value: 0.1}",), "run_cap: 3", "no setting that is searched"),
        ((LR, "seed: {distribution: normal}"), "run_cap: 3", "seed.*no seed is searched.*--seeds 3"),
    ):
        with pytest.raises(ConfigError, match=f"(?s){words}"):
            begin_growth(read_sweep(bayes(*parameters, end=end_)))
    file = read_sweep(bayes(end="run_cap: 3"))
    with pytest.raises(UserError, match=r"(?s)--stopper hyperband.*early_terminate"):
        stop_rule(file, "hyperband")
    assert stop_rule(file) is None
    asha = stop_rule(file, "asha")
    assert asha is not None
    assert (asha.bands, asha.eta) == ((1,), 4.0)
    with pytest.raises(ConfigError, match=r"(?s)optimizer.nonsense"):
        begin_growth(read_sweep(bayes("optimizer.nonsense: {min: 0.0, max: 1.0}", end="run_cap: 3")))


def test_a_grid_has_no_sampler(write_sweep: Callable[..., Path]) -> None:
    file = read_sweep(write_sweep("seed: {values: [0, 1]}"))
    assert begin_growth(file) is None
    with pytest.raises(UserError, match="--sampler gp goes with method: bayes"):
        begin_growth(file, sampler="gp")


def test_another_search_is_another_sweep(bayes: Callable[..., Path], tmp_path: Path) -> None:
    folder, file = SweepFolder(tmp_path / "runs"), read_sweep(bayes())
    growth = begin_growth(file)
    assert growth is not None
    freeze_search(folder, Frozen(growth=growth))
    assert search_differences(folder, Frozen(growth=begin_growth(file))) == []
    assert search_differences(folder, Frozen(growth=begin_growth(file, choice=Choice(count=9)))) == []
    fewer = begin_growth(file, choice=Choice(count=2))
    assert search_differences(folder, Frozen(growth=fewer)) == ["run_cap: 4 -> 2"]
    wider = begin_growth(read_sweep(bayes(LR.replace("0.1", "0.2"))))
    assert [line.split(":")[0] for line in search_differences(folder, Frozen(growth=wider))] == ["parameters"]
    freeze_search(folder, Frozen())
    assert read_search(folder) == Frozen()
    for text, words in (('{"version": 9}', "version 9"), ("{", "cannot be read")):
        folder.search_file.write_text(text)
        with pytest.raises(UserError, match=f"(?s){words}.*--name"):
            read_search(folder)
    assert read_json(folder.search_file) == {}
