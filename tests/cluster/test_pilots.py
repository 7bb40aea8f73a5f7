"""Sweeps by pilots on a real SLURM of two nodes: preempted, cancelled, drained, with the undisturbed numbers."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_transformer.records.run_folder import RunFolder
from lit_transformer.sweep.ledger import read_claims
from lit_transformer.sweep.status import sweep_status

pytestmark = pytest.mark.timeout(1800)
LONGER = ["trainer.max_steps=400", "trainer.val_every=200", "trainer.checkpoint_every=20", "trainer.threads=1"]
SWEEP = """
method: grid
metric: {{name: val/loss, goal: minimize}}
parameters:
  experiment: {{value: {experiment}}}
  seed: {{values: [{seeds}]}}
"""


class Pilots:
    """`sweep run --on slurm` in a process, and what can be done to its jobs."""

    def __init__(self, cluster: Any, root: Path, experiment: Path, seeds: str) -> None:
        self._cluster, self._root = cluster, root
        self.file = root / "sweep.yaml"
        self.file.write_text(SWEEP.format(experiment=experiment, seeds=seeds))
        self.folder = root / "runs" / "sweeps" / "sweep"

    def command(self, *options: str) -> list[str]:
        where = ["--output", str(self._root / "runs"), *options]
        return [sys.executable, "-m", "lit_transformer", "sweep", "run", str(self.file), *where]

    def submit(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self._cluster.shell(*self.command("--on", "slurm", "--detach", "tracking.wandb=off", *options))

    def jobs(self) -> list[str]:
        return json.loads((self.folder / "slurm" / "jobs.json").read_text())["jobs"]

    def said(self) -> str:
        logs = [*(self.folder / "slurm").glob("*.out"), *(self.folder / "cells").glob("*/log.txt")]
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in logs)

    def until(self, condition: Callable[[], Any], seconds: float = 800) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"nothing after {seconds} s\n{self.said()}\n{self._cluster.said()}")

    def cell(self, name: str) -> RunFolder:
        return RunFolder(self.folder / "cells" / name)

    def steps(self, name: str) -> float:
        rows = self.cell(name).read_metrics()
        return (rows[-1]["step"] or 0) if rows else 0

    def ends(self, name: str) -> list[str]:
        return [end for _, end in sorted(read_claims(self.folder / "claims")[name].ends.items())]

    def done(self) -> bool:
        return sweep_status(self.folder).exit_status == 0

    def queue(self) -> dict[str, tuple[str, str]]:
        """Job -> its state and its nodes."""
        lines = self._cluster.shell("squeue", "-h", "-o", "%i %T %N").stdout.splitlines()
        return {words[0]: (words[1], words[2] if len(words) > 2 else "") for words in map(str.split, lines)}


@pytest.fixture
def pilots(cluster: Any, tmp_path: Path, tiny_experiment: Path) -> Callable[[str], Pilots]:
    return lambda seeds: Pilots(cluster, tmp_path, tiny_experiment, seeds)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_experiment: Path) -> Path:
    """The same cells, run here and left alone."""
    root = tmp_path_factory.mktemp("calm")
    file = root / "sweep.yaml"
    file.write_text(SWEEP.format(experiment=tiny_experiment, seeds="0, 1"))
    command = [sys.executable, "-m", "lit_transformer", "sweep", "run", str(file), "--output", str(root / "runs"),
               "tracking.wandb=off", *LONGER]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return root / "runs" / "sweeps" / "sweep" / "cells"


def assert_same(made: Pilots, calm: Path, *cells: str) -> None:
    for cell in cells:
        assert Counter(made.ends(cell))["complete"] == 1
        assert made.cell(cell).metrics_file.read_bytes() == (calm / cell / "metrics.jsonl").read_bytes() != b""


def test_a_sweep_by_a_pilot(pilots: Callable[[str], Pilots], cluster: Any) -> None:
    made = pilots("0, 1")
    done = cluster.shell(*made.command("--on", "slurm", "tracking.wandb=off"))
    assert done.returncode == 0, done.stderr + made.said()
    assert done.stdout == f"{made.folder}\n"
    assert "submitted 1 pilots" in done.stderr and "2 of 2 cells done" in done.stderr
    assert made.done()
    wrong = cluster.shell(*made.command("--on", "slurm", "--partition", "nope"))
    assert wrong.returncode == 2
    assert "got nope" in wrong.stderr and "allowed  main" in wrong.stderr
    refused = cluster.shell(*made.command("--on", "slurm", "--cpus", "64", "--name", "other", "tracking.wandb=off"))
    assert refused.returncode == 2
    assert "SLURM takes no pilot of this sweep" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
def test_a_pilot_out_of_time_goes_back_into_the_queue_and_on_bit_for_bit(
    pilots: Callable[[str], Pilots], cluster: Any, calm: Path
) -> None:
    made = pilots("0, 1")
    assert made.submit(*LONGER).returncode == 0
    made.until(lambda: made.cell("seed=0").path.exists() and made.steps("seed=0") >= 40)
    (job,) = made.jobs()
    assert cluster.shell("scancel", "--signal=USR1", "--batch", job).returncode == 0
    made.until(lambda: made.ends("seed=0") == ["preempted"])
    made.until(lambda: made.queue().get(job, ("", ""))[0] in ("PENDING", "RUNNING"))
    made.until(made.done)
    assert made.ends("seed=0") == ["preempted", "complete"]
    assert "going on from last.ckpt, step" in made.cell("seed=0").log_file.read_text()
    assert "restart 1" in made.said()
    assert_same(made, calm, "seed=0", "seed=1")


@pytest.mark.slow
@pytest.mark.long
def test_a_trial_on_two_nodes_is_one_step_and_is_preempted_with_a_checkpoint(
    pilots: Callable[[str], Pilots], cluster: Any
) -> None:
    made = pilots("0")
    assert made.submit("trainer.num_nodes=2", *LONGER).returncode == 0
    made.until(lambda: made.cell("seed=0").path.exists() and made.steps("seed=0") >= 40)
    (job,) = made.jobs()
    assert made.queue()[job] == ("RUNNING", "n[1-2]")
    before = made.steps("seed=0")
    assert cluster.shell("scancel", "--signal=USR1", "--batch", job).returncode == 0
    made.until(lambda: made.ends("seed=0") == ["preempted"])
    assert made.cell("seed=0").last_checkpoint.exists()
    made.until(made.done)
    log = made.cell("seed=0").log_file.read_text()
    step = int(log.split("going on from last.ckpt, step ")[1].split()[0].strip(",.;"))
    assert step >= before
    steps = [row["step"] for row in made.cell("seed=0").read_metrics()]
    assert steps == sorted(set(steps)) and steps[-1] == 400  # type: ignore[type-var]
    assert made.cell("seed=0").read_config()["trainer"]["num_nodes"] == 2  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.long
def test_scancel_and_a_drained_node_lose_no_cell(pilots: Callable[[str], Pilots], cluster: Any, calm: Path) -> None:
    made = pilots("0, 1")
    assert made.submit("--pilots", "2", *LONGER).returncode == 0
    made.until(lambda: all(made.cell(f"seed={n}").path.exists() and made.steps(f"seed={n}") >= 40 for n in (0, 1)))
    first, second = made.jobs()
    nodes = {job: node for job, (_, node) in made.queue().items()}
    assert sorted(nodes.values()) == ["n1", "n2"]
    try:
        # drained: what runs goes on; out of time, it must go on elsewhere
        drained = nodes[first]
        cluster.shell("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
        cluster.shell("scancel", "--signal=USR1", "--batch", first)
        made.until(lambda: made.queue().get(first, ("", ""))[0] == "PENDING")
        cluster.shell("scancel", second)
        made.until(lambda: second not in made.queue())
        assert all(made.ends(f"seed={n}")[-1:] in (["preempted"], ["complete"]) for n in (0, 1))
        made.until(made.done)
        assert made.queue().get(first, ("", ""))[1] != drained
    finally:
        for node in ("n1", "n2"):
            cluster.shell("scontrol", "update", f"nodename={node}", "state=resume")
    assert_same(made, calm, "seed=0", "seed=1")
