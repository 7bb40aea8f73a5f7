"""The tasks of an srun step are the ranks: a real SLURM of two nodes, real processes over gloo."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.checkpoints import read_checkpoint

pytestmark = pytest.mark.timeout(240)  # a hang guard: ranks that wait for each other wait for ever
FIT = (sys.executable, "-m", "lit_transformer", "fit")
TWO = ("srun", "-N2", "-n2")
WHO = (
    "from lit_transformer.processes.launched import launched; found = launched();"
    "print(found and (found.rank, found.node_rank, found.local_rank, found.world_size, found.address, found.port))"
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory, tiny_experiment):
    """What `fit` makes of the experiment on two ranks of its own."""
    command = [*FIT, str(tiny_experiment), "--output", str(tmp_path_factory.mktemp("ours")), "trainer.devices=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return RunFolder(Path(done.stdout.strip()))


def said(done):
    """The last of what srun's tasks printed, without srun's own lines."""
    return [line for line in done.stderr.splitlines() if not line.startswith(("srun:", "slurm"))]


def test_two_tasks_on_two_nodes_are_two_ranks_of_fit(cluster, tmp_path, tiny_experiment, ours):
    done = cluster.shell(*TWO, *FIT, str(tiny_experiment), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    run = RunFolder(Path(done.stdout.strip()))  # the folder is all that stands there, and stands there once
    assert run.metrics_file.read_bytes() == ours.metrics_file.read_bytes() != b""
    assert run.status() == "complete"
    trainer, origins = run.read_config()["trainer"], run.read_origins()
    assert (trainer["num_nodes"], trainer["devices"]) == (2, 1)
    assert origins["trainer.num_nodes"] == origins["trainer.devices"] == "srun"


def test_one_task_is_a_plain_fit(cluster, tmp_path, tiny_experiment, ours):
    command = ["srun", "-n1", *FIT, str(tiny_experiment), "--output", str(tmp_path), "trainer.devices=2"]
    done = cluster.shell(*command)
    assert done.returncode == 0, done.stderr
    run = RunFolder(Path(done.stdout.strip()))
    assert run.metrics_file.read_bytes() == ours.metrics_file.read_bytes()
    assert run.read_origins()["trainer.devices"] == "command line"


def test_ranks_go_node_by_node_whatever_order_srun_deals_in(cluster):
    done = cluster.shell("srun", "-O", "-N2", "-n4", "--distribution=cyclic", sys.executable, "-c", WHO)
    assert done.returncode == 0, done.stderr
    places = sorted(eval(line) for line in done.stdout.splitlines())
    assert [place[:4] for place in places] == [(0, 0, 0, 4), (1, 0, 1, 4), (2, 1, 0, 4), (3, 1, 1, 4)]
    assert {place[4] for place in places} == {"127.0.0.1"}, "n1 resolves nowhere; SLURM knows its address"
    assert len({place[5] for place in places}) == 1


def test_a_batch_script_and_one_task_of_it_are_not_launched(cluster, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(f'#!/bin/sh\n"{sys.executable}" -c "{WHO}"\nsrun -N1 -n1 "{sys.executable}" -c "{WHO}"\n')
    done = cluster.shell("sbatch", "--wait", "-N2", "-n2", f"--output={tmp_path}/log.txt", str(script))
    assert done.returncode == 0 and (tmp_path / "log.txt").read_text() == "None\nNone\n"


def test_tasks_that_are_not_as_many_on_every_node(cluster, tmp_path, tiny_experiment):
    done = cluster.shell("srun", "-O", "-N2", "-n3", *FIT, str(tiny_experiment), "--output", str(tmp_path / "runs"))
    assert done.returncode == 2
    assert "srun: got 2,1 tasks on its 2 nodes" in done.stderr and "--ntasks-per-node" in done.stderr


def test_variables_that_somebody_overwrote(cluster, tmp_path, tiny_experiment):
    fit = " ".join([*FIT, str(tiny_experiment), "--output", str(tmp_path / "runs")])
    done = cluster.shell(*TWO, "sh", "-c", f"SLURM_NTASKS=8 exec {fit}")
    assert done.returncode == 2
    assert "SLURM_NTASKS=8" in done.stderr and "2 nodes x 1 tasks = 2 ranks" in done.stderr


def test_other_settings_on_one_rank_stop_all_ranks(cluster, tmp_path, tiny_experiment):
    fit = " ".join([*FIT, str(tiny_experiment), "--output", str(tmp_path / "runs")])
    done = cluster.shell(*TWO, "sh", "-c", f'[ "$SLURM_PROCID" = 1 ] && seed="seed=1"; exec {fit} $seed')
    assert done.returncode == 2
    assert said(done) == [
        "The ranks were started with different settings:",
        "seed: got 1 on rank 1",
        "  allowed  0, as on rank 0",
        "  fix      start every rank with the same experiment, settings and code",
    ]
    done = cluster.shell(*TWO, *FIT, str(tiny_experiment), "trainer.num_nodes=4")
    assert done.returncode == 2
    assert said(done)[0] == "trainer.num_nodes x trainer.devices: got 4 x 1 = 4 ranks" and len(said(done)) == 3
    assert not (tmp_path / "runs").exists()


def test_rank_0_that_dies_before_the_training_ends_the_others(cluster, tmp_path, tiny_experiment):
    """As of a kill for memory while it prepares the data: nobody waits for its folder."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "class Killer:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lit_transformer.training.prepare' and os.environ.get('RANK') == '0':\n"
        "            os._exit(9)\n"
        "sys.meta_path.insert(0, Killer())\n"
    )
    command = [*TWO, *FIT, str(tiny_experiment), "--output", str(tmp_path / "runs")]
    done = cluster.shell(*command, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    assert done.returncode == 9
    assert "Rank 0 ended before the training began." in said(done)


def test_sigterm_to_the_step_saves(cluster, tmp_path, tiny_experiment):
    settings = ["trainer.max_steps=100000", "trainer.val_every=100000", "trainer.checkpoint_every=100000"]
    log = tmp_path / "log.txt"
    step = cluster.popen(*TWO, *FIT, str(tiny_experiment), "--output", str(tmp_path), *settings, log=log)
    deadline = time.monotonic() + 120
    while not any(len(run.read_metrics()) >= 2 for run in runs_in(tmp_path)):
        assert step.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    (run,) = runs_in(tmp_path)
    (job,) = cluster.shell("squeue", "-h", "-o", "%i").stdout.split()
    assert cluster.shell("scancel", "--signal=TERM", f"{job}.0").returncode == 0
    assert step.wait(60) == 143, log.read_text()
    assert run.status() == "stopped" and not run.result_file.exists()
    assert read_checkpoint(run.last_checkpoint)["global_step"] >= run.read_metrics()[-1]["step"] >= 8


def test_two_steps_at_once_in_one_job(cluster, tmp_path, tiny_experiment, ours):
    steps = [
        f"srun --overlap -N2 -n2 {' '.join(FIT)} {tiny_experiment} --output {tmp_path}/{name} tracking.wandb=off &"
        for name in "ab"
    ]
    done = cluster.shell("salloc", "-N2", "-n2", "bash", "-c", "\n".join([*steps, "wait -n && wait -n"]))
    assert done.returncode == 0, done.stderr
    for name in "ab":
        (run,) = runs_in(tmp_path / name)
        assert run.metrics_file.read_bytes() == ours.metrics_file.read_bytes()


def runs_in(output):
    return [RunFolder(path.parent) for path in output.glob("*/*/config.yaml")]
