"""The command of a cell: what W&B's own agent makes of the same words, environment and files."""

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.command import expand, macros_of
from lit_transformer.sweep.foreign import Foreign
from lit_transformer.sweep.plan import PlannedCell
from lit_transformer.sweep.sections import MACROS

CONFIG: dict[str, object] = {
    "lr": 1e-05, "model": {"d_ff": None, "heads": [1, 2]}, "name": "a b", "on": True, "off": False, "none": None,
    "n": 3, "ü": "ß",
}  # fmt: skip
DUMP = """
import json, os, sys
found = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
json.dump({"argv": sys.argv[1:], "environment": found}, open(os.environ["OUT"], "w"))
"""


def test_the_macros_are_those_of_wandbs_own_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.sdk.launch.sweeps import utils

    theirs = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in CONFIG.items()}})
    ours = macros_of(CONFIG, program="train.py", json_file=Path("x.json"))
    theirs.pop("args_dict")  # for Launch alone
    assert {name: ours[name] for name in theirs} == theirs
    assert {*theirs, "env", "interpreter", "program", "args_json_file"} == ours.keys() == {*MACROS} - {"envvar:NAME"}
    monkeypatch.setenv("SET_1", "one two")
    monkeypatch.delenv("UNSET", raising=False)
    words = ["x${envvar:SET_1}y${envvar:UNSET}", "${envvar:SET_1}", "${envvar:lower}", "plain", "$HOME", "${args", "a$"]
    assert expand(words, {}, program=None, json_file=Path("x")) == [
        word
        for word in utils.create_sweep_command(list(words))
        if word != "${envvar:lower}"  # no macro: dropped later
    ]


def test_a_run_sees_what_it_sees_under_wandbs_own_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.wandb_agent import Agent

    script = tmp_path / "dump.py"
    script.write_text(DUMP)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    macros = [f"${{{name}}}" for name in MACROS if name.startswith("args")]
    command = ["${env}", "${interpreter}", "${program}", *macros, "${envvar:PATH}"]
    foreign = Foreign(command=command, program=str(script), sweep_id="abcd", project=None, entity=None,
                      folder=str(tmp_path))  # fmt: skip
    run, cell = RunFolder(tmp_path / "cell"), PlannedCell(name="n=3", values={"n": 3}, config=CONFIG)
    run.path.mkdir()
    monkeypatch.setenv("OUT", str(tmp_path / "ours.json"))
    program = foreign.start(run, cell)
    assert program._keeper.wait(120) == 0, run.log_file.read_text()

    theirs_dir = tmp_path / "theirs"
    monkeypatch.setenv("OUT", str(tmp_path / "theirs.json"))
    monkeypatch.setenv("WANDB_DIR", str(theirs_dir))
    monkeypatch.setenv("WANDB_SWEEP_ID", "abcd")
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
        monkeypatch.setenv(name, "")  # the agent sets them: monkeypatch puts them back
    agent = Agent(None, None, sweep_id="abcd")
    agent._sweep_command = command
    run_id = foreign.run_id("n=3")
    arguments = {key: {"value": value} for key, value in CONFIG.items()}
    agent._command_run({"run_id": run_id, "program": str(script), "args": arguments})
    assert agent._run_processes[run_id].wait(120) == 0

    ours, theirs = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("ours", "theirs"))
    same = [word.replace(str(theirs_dir), str(run.path)) for word in theirs["argv"]]
    assert ours["argv"] == same
    for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        assert ours["environment"][name] == theirs["environment"][name]
    paths = [found["environment"]["WANDB_SWEEP_PARAM_PATH"] for found in (ours, theirs)]
    assert paths[0] == paths[1].replace(str(theirs_dir), str(run.path))
    read = [yaml.safe_load(Path(path).read_text(encoding="utf-8")) for path in paths]
    assert read[0] == read[1]
    (json_file,) = [word for word in ours["argv"] if word.endswith(f"config-{run_id}.json")]
    assert json.loads(Path(json_file).read_text()) == CONFIG
    assert ours["environment"]["WANDB_MODE"] == "offline"
