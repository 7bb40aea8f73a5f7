"""Sweeps by pilots on a real SLURM of two nodes: preempted, cancelled, drained, with the undisturbed numbers."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.pilots import GRID, LONGER, Pilots, assert_same, train_here

pytestmark = pytest.mark.timeout(1800)
OFFLINE = "tracking.wandb=off"
BAYES = """
method: bayes
run_cap: 2
metric: {{name: val/loss, goal: minimize}}
parameters:
  experiment: {{value: {experiment}}}
  optimizer.lr: {{min: 0.001, max: 0.01}}
"""
PROGRAM = """
method: grid
metric: {{name: loss, goal: minimize}}
parameters:
  n: {{values: [{values}]}}
command: [{python}, {script}, "${{args}}"]
"""
SCRIPT = """
import os, pathlib, signal, sys, time
def asked(*_):
    print("asked to end", flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, asked)
print("on GPU", os.environ.get("CUDA_VISIBLE_DEVICES"), "of", os.environ["SLURM_JOB_ID"], flush=True)
while not pathlib.Path(__file__).with_name("go").exists():
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_experiment: Path) -> Path:
    """The same cells, run here and left alone."""
    return train_here(tmp_path_factory.mktemp("calm"), GRID.format(experiment=tiny_experiment, seeds="0, 1"), *LONGER)


@pytest.fixture
def grid(pilots: Callable[[str], Pilots], tiny_experiment: Path) -> Callable[[str], Pilots]:
    return lambda seeds: pilots(GRID.format(experiment=tiny_experiment, seeds=seeds))


def test_a_bayes_sweep_by_a_pilot(pilots: Callable[[str], Pilots], cluster: Any, tiny_experiment: Path) -> None:
    made = pilots(BAYES.format(experiment=tiny_experiment))
    done = cluster.shell(*made.command("--on", "slurm", OFFLINE))
    assert done.returncode == 0, done.stderr + made.said()
    assert done.stdout == f"{made.folder}\n"
    assert "submitted 1 pilots" in done.stderr and "2 of 2 cells done" in done.stderr
    assert made.done()
    for more in ([], ["--dry-run"]):
        wrong = cluster.shell(*made.command("--on", "slurm", "--partition", "nope", *more))
        assert wrong.returncode == 2
        assert "got nope" in wrong.stderr and "allowed  main, urgent" in wrong.stderr
    refused = cluster.shell(*made.command("--on", "slurm", "--cpus", "64", "--name", "other", OFFLINE))
    assert refused.returncode == 2
    assert "SLURM takes no pilot of this sweep" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_pilot_out_of_time_or_preempted_goes_on_bit_for_bit(
    grid: Callable[[str], Pilots], cluster: Any, calm: Path
) -> None:
    """USR1, after which the pilot requeues itself; then a job that SLURM prefers, by PreemptMode=REQUEUE."""
    made = grid("0, 1")
    assert made.submit(OFFLINE, *LONGER).returncode == 0
    made.until(lambda: made.cell("seed=0").path.exists() and made.steps("seed=0") >= 40)
    (job,) = made.jobs()
    made.signal("USR1", job)
    made.until(lambda: made.ends("seed=0") == ["preempted"])
    made.until(lambda: made.queue().get(job, ("", ""))[0] in ("PENDING", "RUNNING"))
    made.until(lambda: made.steps("seed=0") >= 100)
    both = cluster.shell("sbatch", "--partition=urgent", "-N2", "-n2", "--output=/dev/null", "--wrap=sleep 1")
    assert both.returncode == 0
    made.until(lambda: made.queue().get(job, ("", ""))[0] == "PENDING")
    assert made.ends("seed=0") == ["preempted", "preempted"]
    made.until(made.done)
    assert made.ends("seed=0") == ["preempted", "preempted", "complete"]
    assert "going on from last.ckpt, step" in made.cell("seed=0").log_file.read_text()
    assert "restart 1" in made.said() and "restart 2" in made.said()
    assert_same(made, calm, "seed=0", "seed=1")


@pytest.mark.slow
def test_scancel_and_a_drained_node_lose_no_cell(grid: Callable[[str], Pilots], cluster: Any, calm: Path) -> None:
    made = grid("0, 1")
    assert made.submit("--pilots", "2", OFFLINE, *LONGER).returncode == 0
    made.until(lambda: all(made.cell(f"seed={n}").path.exists() and made.steps(f"seed={n}") >= 40 for n in (0, 1)))
    first, second = made.jobs()
    nodes = {job: node for job, (_, node) in made.queue().items()}
    assert sorted(nodes.values()) == ["n1", "n2"]
    try:
        # drained: what runs goes on; out of time, it must go on elsewhere
        drained = nodes[first]
        cluster.shell("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
        made.signal("USR1", first)
        made.until(lambda: made.queue().get(first, ("", ""))[0] == "PENDING")
        cluster.shell("scancel", second)
        made.until(lambda: made.gone(second))
        assert all(made.ends(f"seed={n}")[-1:] in (["preempted"], ["complete"]) for n in (0, 1))
        made.until(made.done)
        assert made.queue().get(first, ("", ""))[1] != drained
    finally:
        for node in ("n1", "n2"):
            cluster.shell("scontrol", "update", f"nodename={node}", "state=resume")
    assert_same(made, calm, "seed=0", "seed=1")


@pytest.mark.slow
def test_a_program_on_a_gpu_whose_time_is_nearly_up_is_stopped_extended_and_run(
    pilots: Callable[[str], Pilots], cluster: Any, tmp_path: Path
) -> None:
    """SLURM's own --signal; `sweep stop` while the pilot waits; a new cell and a new pilot."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    made = pilots(PROGRAM.format(values="0", python=sys.executable, script=script))
    gpus = ("--gpus", "1")

    def dry_run(*options: str) -> dict[str, Any]:
        done = cluster.shell(*made.command("--on", "slurm", "--dry-run", "--json", *options))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["slurm"]

    dry = dry_run(*gpus)
    assert (dry["jobs"], dry["there"], dry["trials"]) == (1, [], 1)
    assert "to start at" in dry["said"] and not made.folder.exists()
    assert "not available" in dry_run("--cpus", "64")["said"]
    done = made.submit(*gpus)
    assert done.returncode == 0, done.stderr
    (job,) = made.jobs()
    assert dry["script"] == (made.folder / "slurm" / f"{job}_submission.sh").read_text()
    again = dry_run(*gpus, "--pilots", "2")
    assert (again["jobs"], again["there"], again["script"]) == (1, [job], dry["script"])
    log = made.cell("n=0").log_file
    made.until(lambda: log.exists() and f"on GPU 0 of {job}" in log.read_text())
    shown = cluster.shell("scontrol", "show", "job", job).stdout
    assert "TresPerNode=gres:gpu:1" in shown
    minutes = int(re.findall(r"RunTime=\d+:(\d+):", shown)[0])
    cluster.shell("scontrol", "update", f"JobId={job}", f"TimeLimit={minutes + 2}")  # the lead is 2min
    made.until(lambda: made.ends("n=0") == ["preempted"])
    assert "asked to end" in log.read_text()
    made.until(lambda: made.queue().get(job, ("", ""))[0] == "PENDING")
    assert made.run("stop", str(made.folder)).returncode == 0
    made.until(lambda: made.gone(job))
    assert "the sweep was stopped while this pilot waited" in made.said()
    assert made.ends("n=0") == ["preempted"]

    made.file.write_text(PROGRAM.format(values="0, 1", python=sys.executable, script=script))
    extended = made.run("extend", str(made.folder), str(made.file))
    assert extended.returncode == 0, extended.stderr
    (tmp_path / "go").touch()
    assert "submitted 1 pilots" in made.submit(*gpus).stderr
    (second,) = made.jobs()
    made.until(made.done)
    assert second != job
    assert (made.ends("n=0"), made.ends("n=1")) == (["preempted", "complete"], ["complete"])
    assert f"of {second}" in made.cell("n=1").log_file.read_text()
