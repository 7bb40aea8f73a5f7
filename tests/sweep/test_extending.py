"""`sweep extend`: what it says, what it takes over, what it refuses; the command that it names runs the new cells."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.extending import sweep_extend
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger, read_claims, why_closed
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.run import sweep_run
from lit_transformer.sweep.search import read_search
from lit_transformer.sweep.status import sweep_status

SWEEP = f"""
method: grid
metric: {{name: loss, goal: minimize, target: 0.5}}
early_terminate: {{type: hyperband, min_iter: 2}}
parameters: {{width: {{values: [1, 2]}}}}
command: [{sys.executable}, -c, pass]
"""


@pytest.fixture
def change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the sweep's file with a text replaced by another."""
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"

    def write(old: str = "", new: str = "") -> Path:
        assert old in SWEEP
        path.write_text(SWEEP.replace(old, new) if old else SWEEP)
        return path

    return write


@pytest.mark.timeout(300)
def test_the_command_that_it_names_runs_the_new_cells(change: Callable[..., Path]) -> None:
    status, folder = sweep_run(str(change()))
    assert status == 0
    file = str(change("[1, 2]", "[2, 3]"))
    found = sweep_extend(folder, file, dry_run=True)
    assert found.lines() == ["+ width=3", "- width=1  (no longer in the file; it stays)", "1 new cells, 2 stay"]
    found = sweep_extend(folder, file)
    command = "lit-transformer sweep agent runs/sweeps/mine"
    assert found.lines()[-1] == f"workers that run the sweep take them; where none does: {command}"
    assert found.to_json()["command"] == found.command == command
    with pytest.raises(UserError, match=r"(?s)cells only in the sweep's folder: width=1.*sweep agent runs/sweeps/mine"):
        sweep_run(file)
    words = [sys.executable, "-m", "lit_transformer", *shlex.split(command)[1:]]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {view.cell: view.state for view in sweep_status(folder).views} == dict.fromkeys(
        ["width=1", "width=2", "width=3"], "complete"
    )
    assert {known.highest for known in read_claims(folder / "claims").values()} == {1}
    assert sweep_extend(folder, file).lines() == ["- width=1  (no longer in the file; it stays)", "0 new cells, 3 stay"]


@pytest.mark.timeout(300)
def test_other_rules_are_refused_and_another_target_is_taken_over(change: Callable[..., Path]) -> None:
    folder = SweepFolder(sweep_run(str(change()))[1])
    for old, new, said in (
        ("method: grid", "method: random\nrun_cap: 3", "method: grid -> random"),
        ("min_iter: 2", "min_iter: 4, eta: 2", "early_terminate: min_iter 2, eta 3, strict True -> min_iter 4, eta"),
        ("early_terminate: {type: hyperband, min_iter: 2}\n", "", "strict True -> none"),
        ("goal: minimize", "goal: maximize", "goal: minimize -> maximize"),
    ):
        with pytest.raises(UserError) as error:
            sweep_extend(folder.path, str(change(old, new)))
        for words in (said, "run by other rules", "--name NAME"):
            assert words in str(error.value)
    same = change("min_iter: 2", "min_iter: 2, eta: 3")  # what was meant before
    assert sweep_extend(folder.path, str(same)).lines() == ["0 new cells, 2 stay"]
    imputed = change("target: 0.5", "target: 0.5, impute: latest")  # of a search, which a grid has not
    assert sweep_extend(folder.path, str(imputed)).lines() == ["0 new cells, 2 stay"]

    ledger = Ledger(folder.claims, [], Holder.here("test"))
    ledger.close("the target 0.5 is reached")
    file = change("target: 0.5", "target: 0.25")
    assert sweep_extend(folder.path, str(file), dry_run=True).lines() == [
        "~ metric.target: 0.5 -> 0.25", "0 new cells, 2 stay",
    ]  # fmt: skip
    assert why_closed(folder.claims) and read_search(folder).target == 0.5
    assert sweep_extend(folder.path, str(file)).to_json()["changed"] == ["metric.target: 0.5 -> 0.25"]
    assert (why_closed(folder.claims), read_search(folder).target) == ("", 0.25)
    folder.cell("width=1").metrics_file.write_text('{"step": 1, "loss": 0.1}\n')
    sweep_extend(folder.path, str(change("target: 0.5", "target: 0.2")))
    assert why_closed(folder.claims) == "the target 0.2 of loss is reached: 0.1 in width=1"
    sweep_extend(folder.path, str(change(", target: 0.5", "")))
    assert (why_closed(folder.claims), read_search(folder).target) == ("", None)
    assert len(read_plan(folder).cells) == 2
