"""Ranks that wait for one another before the training: real processes, one of which does something wrong."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from lit_transformer.processes.launched import Launch
from lit_transformer.processes.ranks import free_port
from lit_transformer.training import meeting

pytestmark = pytest.mark.timeout(120)  # a hang guard: ranks that wait for each other wait for ever

RANK = """
import json, os, sys, time
from pathlib import Path
from lit_transformer.config.errors import UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_layers
from lit_transformer.processes.launched import Launch
from lit_transformer.training import meeting

launch, folder, act = Launch(**json.loads(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
meeting.SEEN_SECONDS, meeting.LEAVE_SECONDS = 1, 3
meeting.JOIN_SECONDS = 3 if act == "stay away" else 60
try:
    met = meeting.Meeting(launch)
except UserError as error:
    sys.exit(str(error))
if act == "die":
    meeting.JOIN_SECONDS = 3

def make():
    made = folder / str(launch.rank)
    made.mkdir()
    (made / "config.yaml").write_text("seed: 0")
    return made

def load():
    if launch.rank and act == "die":
        os._exit(9)
    if launch.rank and act == "crash":
        raise KeyError("a fault of ours")
    return load_layers([shell_layer(["trainer.accelerator=cpu"])])

met.same_settings(load)
if launch.rank and act == "hide":
    meeting.RunFolder = lambda path: real(Path("/nowhere"))
    from lit_transformer.records.run_folder import RunFolder as real
print(met.make_folder(make))
"""


def ranks(tmp_path, act, count=2):
    """What two ranks of a launch of `count` say, one of them up to `act`: (status, stdout, stderr) of each."""
    base = Launch(
        kind="srun", rank=0, world_size=2, local_rank=0, local_world_size=2, node_rank=0, num_nodes=1,
        address="127.0.0.1", port=free_port(),
    )  # fmt: skip
    launches = [asdict(replace(base, rank=rank, local_rank=rank)) for rank in range(count)]
    command = [sys.executable, "-c", RANK]
    quiet = {**os.environ, "TORCH_CPP_LOG_LEVEL": "FATAL"}
    started = [
        subprocess.Popen(
            [*command, json.dumps(launch), str(tmp_path), act],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet,
        )
        for launch in launches
    ]  # fmt: skip
    ends = [process.communicate() for process in started]
    return [(process.returncode, *end) for process, end in zip(started, ends, strict=True)]


def test_ranks_that_agree_use_rank_0s_folder(tmp_path):
    first, second = ranks(tmp_path, "nothing wrong")
    assert first == second == (0, f"{tmp_path}/0\n", "")


def test_a_rank_that_never_comes_is_not_waited_for_for_ever(tmp_path):
    ((status, _, said),) = ranks(tmp_path, "stay away", count=1)
    assert status == 1 and "rank 0 of 2: got no connection with the others at 127.0.0.1 port" in said
    assert "1/2 clients joined" in said and "firewall" in said


def test_a_rank_that_dies_without_a_word_is_named(tmp_path):
    first, second = ranks(tmp_path, "die")
    assert second[0] == 9
    assert first[0] == 1 and first[2] == "rank 1 ended or hangs before the training\n"


def test_a_fault_of_ours_on_one_rank_ends_all_with_its_traceback(tmp_path):
    first, second = ranks(tmp_path, "crash")
    assert first[0] == second[0] == 1
    assert first[2].startswith("on rank 1 of 2:\nTraceback") and "KeyError: 'a fault of ours'" in first[2]
    assert second[2] == ""


def test_a_folder_that_one_rank_does_not_see(tmp_path):
    first, second = ranks(tmp_path, "hide")
    assert first[0] == second[0] == 2
    assert "on rank 1 of 2:\n/nowhere: got another config.yaml than rank 0's, or none" in first[2]
    assert "a file system that all nodes share" in first[2] and not first[1] and not second[1]


def test_differences_are_told_once_with_all_their_ranks():
    values = [{"seed": 0, "data.path": None}] + [{"seed": 1, "data.path": None}] * 2 + [{"seed": 0, "data.path": "a"}]
    trouble = meeting._differences([{"values": each} for each in values])
    assert trouble.status == 2
    assert "seed: got 1 on rank 1, 2\n  allowed  0, as on rank 0" in trouble.text
    assert "data.path: got a on rank 3\n  allowed  null, as on rank 0" in trouble.text
    assert meeting._differences([{"values": values[0]}] * 3).status == 0
