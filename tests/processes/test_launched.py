"""What torchrun's and SLURM's variables say. Real launchers: tests/training/test_torchrun.py, tests/cluster."""

import pytest

from lit_transformer.config.errors import ConfigError, UserError
from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import Loaded, load_layers
from lit_transformer.processes.hardware import cores
from lit_transformer.processes.launched import FIRST_PORT, PORTS, Launch, first_host, launched
from lit_transformer.processes.launched_settings import settings

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4",
    "GROUP_RANK": "1", "MASTER_ADDR": "host-a", "MASTER_PORT": "29500",
}  # fmt: skip
SRUN = {
    "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3", "SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_CPUS_ON_NODE": "4",
}  # fmt: skip


def loaded(*arguments: str) -> Loaded:
    return load_layers([shell_layer(arguments)])


def test_a_plain_process_was_not_launched():
    assert launched({}) is None
    # ours, in the fork server's children: never asked there, but a shell inside one may start another fit
    assert launched({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}) is None
    batch_script = {key: value for key, value in SRUN.items() if "STEP" not in key}
    assert launched(batch_script) is None
    assert launched({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1"}) is None


def test_torchruns_variables():
    found = launched(TORCHRUN)
    assert found is not None and found.kind == "torchrun"
    assert (found.rank, found.world_size, found.local_rank, found.local_world_size) == (5, 8, 1, 4)
    assert (found.node_rank, found.num_nodes, found.address, found.port) == (1, 2, "host-a", 29500)
    assert found.environment() == {name: value for name, value in TORCHRUN.items() if name != "TORCHELASTIC_RUN_ID"}
    inside_a_step = launched({**SRUN, **TORCHRUN})
    assert inside_a_step is not None and inside_a_step.kind == "torchrun"


def test_sruns_variables():
    found = launched(SRUN)
    assert found is not None and found.kind == "srun"
    assert (found.rank, found.world_size, found.local_rank, found.local_world_size) == (5, 8, 1, 4)
    assert (found.node_rank, found.num_nodes, found.address) == (1, 2, "localhost")
    assert found.environment()["RANK"] == "5" and found.environment()["MASTER_PORT"] == str(found.port)
    assert found.threads == 1
    asked = launched({**SRUN, "SLURM_CPUS_PER_TASK": "512"})
    assert asked is not None and asked.threads == cores()


def test_ranks_are_counted_node_by_node_whatever_srun_does():
    cyclic = launched({**SRUN, "SLURM_PROCID": "3"})  # --distribution=cyclic: task 3 is the second on the second node
    assert cyclic is not None and cyclic.rank == 5


def test_steps_of_a_job_and_jobs_of_a_node_meet_at_ports_of_their_own():
    places = [(job, step) for job in range(100, 150) for step in range(100)]
    ports = set()
    for job, step in places:
        found = launched({**SRUN, "SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(step)})
        assert found is not None and FIRST_PORT <= found.port < FIRST_PORT + PORTS
        ports.add(found.port)
    assert len(ports) == len(places)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("n[1-4,7]", "n1"),
        ("gpu[07,12-14]", "gpu07"),
        ("r[1-2]n[01-04],login", "r1n01"),
        ("a,b[2-3]", "a"),
        ("cn[003-100]-ib.site", "cn003-ib.site"),
    ],
)
def test_the_first_host_of_a_list(nodes, first):
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SLURM_NTASKS": "4"}, ["SLURM_NTASKS=4", "2 nodes x 4 tasks = 8", "fix"]),
        ({"SLURM_STEP_NUM_TASKS": "16"}, ["SLURM_STEP_NUM_TASKS=16", "2 nodes x 4 tasks = 8"]),
        ({"SLURM_STEP_TASKS_PER_NODE": "4(x2),3"}, ["got 4(x2),3 tasks on its 3 nodes", "--ntasks-per-node"]),
        ({"SLURM_STEP_TASKS_PER_NODE": "four"}, ["SLURM_STEP_TASKS_PER_NODE: got 'four'", "2(x3),1"]),
        ({"SLURM_NODEID": "x"}, ["SLURM_NODEID: got 'x'", "a whole number"]),
        ({"SLURM_STEP_NODELIST": "no-such-host.invalid"}, ["no-such-host.invalid", "cannot resolve", "/etc/hosts"]),
    ],
)
def test_sruns_variables_that_make_no_sense(changes, said):
    with pytest.raises(UserError) as error:
        launched({**SRUN, **changes})
    assert all(part in str(error.value) for part in said), str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"LOCAL_WORLD_SIZE": "3"}, ["--nproc-per-node", "3 ranks on this node of 8"]),
        ({"RANK": "6"}, ["--nproc-per-node"]),
        ({"MASTER_PORT": ""}, ["MASTER_PORT: got ''"]),
    ],
)
def test_torchruns_variables_that_make_no_sense(changes, said):
    with pytest.raises(UserError) as error:
        launched({**TORCHRUN, **changes})
    assert all(part in str(error.value) for part in said), str(error.value)
    missing = {name: value for name, value in TORCHRUN.items() if name != "RANK"}
    with pytest.raises(UserError, match="RANK: got nothing"):
        launched(missing)


def test_the_launchers_numbers_are_taken():
    launch = launched(SRUN)
    found = settings(loaded(), launch)
    trainer = found.config.trainer
    assert (trainer.devices, trainer.num_nodes, trainer.threads) == (4, 2, 1)
    keys = ("trainer.devices", "trainer.num_nodes", "trainer.threads", "trainer.accelerator")
    assert [found.origins[key] for key in keys] == ["srun", "srun", "srun", "default"]
    typed = settings(loaded("trainer.num_nodes=2", "trainer.threads=3"), launch)
    assert (typed.config.trainer.devices, typed.config.trainer.threads) == (4, 3)
    assert typed.origins["trainer.num_nodes"] == "command line"
    by_torchrun = settings(loaded(), launched(TORCHRUN))
    assert by_torchrun.config.trainer.threads is None and by_torchrun.origins["trainer.devices"] == "torchrun"
    # a run that goes on elsewhere: nobody typed the first launcher's numbers
    again = settings(Loaded(by_torchrun.config, by_torchrun.origins), some_launch(devices=2, nodes=1))
    assert (again.config.trainer.devices, again.config.trainer.num_nodes) == (2, 1)


@pytest.mark.parametrize("typed", [["trainer.devices=2"], ["trainer.devices=2", "trainer.num_nodes=4"]])
def test_other_numbers_set_on_purpose_are_named_side_by_side(typed):
    with pytest.raises(UserError) as error:
        settings(loaded(*typed), launched(SRUN))
    nodes = 4 if len(typed) > 1 else 2
    said = str(error.value)
    assert f"got {nodes} x 2 = {nodes * 2} ranks" in said and "2 x 4 = 8 ranks, those that srun started" in said
    assert f"srun --nodes={nodes} --ntasks-per-node=2" in said


def test_rules_hold_for_the_launchers_numbers():
    with pytest.raises(ConfigError, match="a multiple of 8"):
        settings(loaded("data.batch_size=4"), launched(SRUN))


def test_several_nodes_need_a_launcher():
    assert settings(loaded("trainer.devices=2"), None).config.trainer.devices == 2
    with pytest.raises(UserError, match=r"trainer\.num_nodes: got 2") as error:
        settings(loaded("trainer.num_nodes=2"), None)
    assert "srun --nodes=2 --ntasks-per-node=1" in str(error.value) and "torchrun --nnodes=2" in str(error.value)


def some_launch(devices: int, nodes: int) -> Launch:
    return Launch(
        kind="srun", rank=0, world_size=devices * nodes, local_rank=0, local_world_size=devices, node_rank=0,
        num_nodes=nodes, address="localhost", port=FIRST_PORT,
    )  # fmt: skip
