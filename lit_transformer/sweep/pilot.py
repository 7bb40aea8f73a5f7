"""A pilot: the process of a SLURM job that runs cells of a sweep until none is left or its time is nearly up.

Imports no torch. A cell of one rank is a warm child on the job's first node; one of several ranks is an `srun` step.
USR1 (SLURM sends it before the job's end) stops the trials at a checkpoint and puts the job back into the queue; TERM
(`scancel`, SLURM's own preemption) only stops them. Sent to every process of the job it makes srun kill its tasks: a
cell of several ranks then goes on from its last regular checkpoint. What a pilot leaves, another takes up.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lit_transformer.processes.gpus import VISIBLE
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.driver import run_workers
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.plan import PlannedCell, read_configs, read_plan
from lit_transformer.sweep.propose import unproposed
from lit_transformer.sweep.requests import newest_request
from lit_transformer.sweep.slots import Slots
from lit_transformer.sweep.worker import ranks_of

OUT_OF_TIME = 128 + signal.SIGUSR1


def run_pilot(path: str, since: str, per_device: int, allow_drift: bool) -> int:
    """Run cells of the sweep at `path` in this job; the exit status. submitit calls it in the job's batch process.

    `since` is the newest request to stop when the pilot was submitted: a later one ends it, also one that came while it
    waited in the queue.
    """
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    folder = SweepFolder(Path(path))
    job = os.environ.get("SLURM_JOB_ID", "")
    if newest_request(folder) != since:
        print("the sweep was stopped while this pilot waited in the queue", file=sys.stderr)
        return 0
    plan = read_plan(folder)
    slots = slots_here(folder, plan.threads, per_device)
    nodes = int(os.environ.get("SLURM_JOB_NUM_NODES", "1"))
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    print(f"pilot {job} on {nodes} nodes, {slots.workers} trials at once, restart {restarts}", file=sys.stderr)
    status = run_workers(folder, plan, slots, leaves=True, allow_drift=allow_drift, srun_nodes=nodes, since=since)
    plan = read_plan(folder)
    ledger = Ledger(folder.claims, [cell.name for cell in plan.valid()], Holder.here(f"pilot-{job}"))
    left = ledger.unsettled() or unproposed(folder, plan.cells)
    if status == OUT_OF_TIME and left and newest_request(folder) == since:
        requeue(job)
    return status


def slots_here(folder: SweepFolder, threads: int, per_device: int) -> Slots:
    """This node's workers."""
    gpus = [gpu for gpu in os.environ.get(VISIBLE, "").split(",") if gpu]
    return node_slots(list(read_configs(folder).values()), gpus, threads, per_device)


def node_slots(cells: Sequence[PlannedCell], gpus: Sequence[str], threads: int, per_device: int) -> Slots:
    """A worker for each of the largest cell's groups of a node's GPUs, or one on a CPU."""
    devices = max((ranks_of(cell)[1] for cell in cells), default=1)
    groups = max(1, len(gpus) // devices)
    slices = [gpus[index % groups * devices :][:devices] for index in range(groups * per_device)] if gpus else []
    kind = "cuda" if gpus else "cpu"
    return Slots(workers=len(slices) or 1, devices=devices, threads=threads, accelerator=kind, gpus=slices)


def requeue(job: str) -> None:
    """Put this job back into the queue, which ends it; where SLURM refuses, its cells wait for other pilots."""
    print(f"pilot {job}: its time is up; back into the queue", file=sys.stderr, flush=True)
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"SLURM refuses to requeue: {done.stderr.strip()}; the same command continues", file=sys.stderr)
