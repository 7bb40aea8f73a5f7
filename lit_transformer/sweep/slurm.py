"""`sweep run --on slurm`: pilots, submitted by submitit, run a sweep's cells; the only place that knows submitit."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import read_json, write_json
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.bayes import Sampler
from lit_transformer.sweep.begin import Stopping
from lit_transformer.sweep.choice import Choice
from lit_transformer.sweep.driver import RERUN, locked, reopen
from lit_transformer.sweep.file import find_sweep, read_sweep
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger
from lit_transformer.sweep.pilot import run_pilot
from lit_transformer.sweep.plan import Plan, PlannedCell, read_configs, read_plan
from lit_transformer.sweep.propose import unproposed
from lit_transformer.sweep.requests import newest_request, set_retries
from lit_transformer.sweep.run import (
    announce_impossible,
    asked_cells,
    asked_search,
    check_retries,
    frozen_plan,
    sweep_folder,
)
from lit_transformer.sweep.slots import Slots
from lit_transformer.sweep.slurm_checks import check_pilot, check_slurm
from lit_transformer.sweep.slurm_settings import PilotSettings, sbatch_problem
from lit_transformer.sweep.watching import sweep_watch
from lit_transformer.sweep.worker import ranks_of

if TYPE_CHECKING:
    from submitit import SlurmExecutor

NEVER = ("PartitionConfig", "PartitionNodeLimit", "PartitionTimeLimit", "BadConstraints", "InvalidAccount",
         "InvalidQOS")  # fmt: skip
"""SLURM's reasons to keep a job waiting that no waiting mends."""
SCHEDULE_SECONDS = 1.0
"""What SLURM has for finding such a reason."""
LOGS = "slurm"
"""The folder of pilots' logs and job numbers in a sweep's folder."""


def sweep_on_slurm(
    sweep: str,
    pilots: PilotSettings,
    *,
    overrides: Sequence[str] = (),
    seeds: int | None = None,
    output: Path = Path("runs"),
    name: str | None = None,
    allow_drift: bool = False,
    per_device: int | None = None,
    retries: int = 0,
    detach: bool = False,
    choice: Choice | None = None,
    stopper: Stopping | None = None,
    sampler: Sampler | None = None,
) -> tuple[int, Path]:
    """Freeze a sweep, or find it frozen, submit pilots for its open cells, and watch; exit status and sweep's folder.

    The pilots go on whatever becomes of this process. With `detach` 0 as soon as they are submitted, else as
    `sweep watch`, and 1 when cells are left and no pilot is. Raises UserError as `sweep run`, and where SLURM, the
    extra `slurm` or the partition is missing, or SLURM refuses a pilot.
    """
    check_retries(retries)
    check_slurm(pilots)
    file = read_sweep(find_sweep(sweep))
    for note in file.notes:
        print(note, file=sys.stderr)
    search = asked_search(file, overrides, seeds, choice, stopper, sampler)
    cells = asked_cells(file, search, overrides, seeds, choice)
    folder = sweep_folder(file, output, name)
    slots = pilot_slots(folder, pilots)
    with locked(folder):
        plan, _ = frozen_plan(
            folder,
            file,
            search,
            cells,
            overrides,
            seeds,
            choice,
            place=lambda cells: slots,
            check=lambda config: check_pilot(config, pilots),
        )
        set_retries(folder, retries)
        reopen(folder, plan, RERUN)
        announce_impossible(plan)
    ledger = Ledger(folder.claims, [cell.name for cell in plan.valid()], Holder.here("submit"))
    if ledger.unsettled() or unproposed(folder, plan.cells):
        submit(folder, pilots, per_device=per_device or 1, allow_drift=allow_drift)
    if detach:
        return 0, folder.path
    return sweep_watch(folder.path, anybody=Queue(folder)), folder.path


def pilot_slots(folder: SweepFolder, pilots: PilotSettings) -> Slots:
    """What a sweep's cells are made for: the threads and the accelerator of its pilots."""
    threads = read_plan(folder).threads if folder.exists() else pilots.cpus
    kind = "cuda" if pilots.gpus else "cpu"
    return Slots(workers=pilots.pilots, devices=1, threads=threads, accelerator=kind)


def submit(folder: SweepFolder, pilots: PilotSettings, *, per_device: int, allow_drift: bool) -> list[str]:
    """Submit as many pilots as are missing, and return their jobs' numbers. Raises UserError where SLURM refuses."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    since = newest_request(folder)
    there = pilots_there(folder, since)
    executor = pilot_executor(folder, read_plan(folder), list(read_configs(folder).values()), pilots)
    jobs: list[str] = []
    try:
        for _ in range(pilots.pilots - len(there)):
            job = executor.submit(run_pilot, str(folder.path.resolve()), since, per_device, allow_drift)
            jobs.append(job.job_id)
            write_json(_jobs_file(folder), {"jobs": [*there, *jobs], "since": since})
    except (FailedJobError, FailedSubmissionError) as error:
        raise sbatch_problem(str(error)) from None
    _check_that_they_can_run(jobs)
    said = [f"{len(there)} pilots are there already: {' '.join(there)}"] if there else []
    said += [f"submitted {len(jobs)} pilots: {' '.join(jobs)}; their logs: {folder.path / LOGS}"] if jobs else []
    print("; ".join(said), file=sys.stderr)
    return jobs


def pilot_executor(
    folder: SweepFolder, plan: Plan, cells: Sequence[PlannedCell], pilots: PilotSettings
) -> "SlurmExecutor":
    """What submits the pilots of a sweep with these valid cells; raises UserError for nodes that no cell uses.

    It can be made, and asked for its batch script, also where there is no SLURM.
    """
    from submitit import SlurmExecutor

    class Executor(SlurmExecutor):
        @classmethod
        def affinity(cls) -> int:  # submitit would refuse to draw a script without srun on PATH
            return 1

    ranks = [ranks_of(cell) for cell in cells]
    nodes, devices = max((nodes for nodes, _ in ranks), default=1), max((devices for _, devices in ranks), default=1)
    if pilots.nodes is not None and pilots.nodes > nodes:
        raise UserError(
            f"--nodes: got {pilots.nodes}, and every cell trains on {nodes}\n"
            f"  allowed  the nodes of the largest cell\n  fix      --pilots {pilots.nodes} runs as many cells at once"
        )
    # exec: the batch shell becomes the pilot, so that SLURM's signals to the batch step reach it
    executor = Executor(folder=folder.path.resolve() / LOGS, python=f"exec {shlex.quote(sys.executable)}")
    executor.update_parameters(**_parameters(plan, pilots, nodes, devices))
    return executor


def batch_script(executor: "SlurmExecutor") -> str:
    """What sbatch is given for each pilot; submitit has no public way to see it."""
    return str(executor._make_submission_file_text(executor._submitit_command_str, ""))


def _parameters(plan: Plan, pilots: PilotSettings, nodes: int, devices: int) -> dict[str, object]:
    """What submitit is told."""
    named = {"partition": pilots.partition, "account": pilots.account, "qos": pilots.qos,
             "constraint": pilots.constraint, "mem": pilots.mem}  # fmt: skip
    return {
        "job_name": f"sweep-{plan.name}"[:60],
        "time": pilots.minutes,
        "nodes": nodes,
        "ntasks_per_node": max(devices, pilots.gpus) if pilots.gpus else devices,
        "cpus_per_task": plan.threads,
        "gpus_per_node": pilots.gpus or None,
        "stderr_to_stdout": True,
        "use_srun": False,
        **{key: value for key, value in named.items() if value is not None},
        "additional_parameters": {"signal": f"B:USR1@{pilots.lead_seconds}", "requeue": True, **pilots.sbatch},
    }


def _check_that_they_can_run(jobs: Sequence[str]) -> None:
    """Cancel what SLURM took and will never start, and raise UserError with its reason."""
    if not jobs:
        return
    time.sleep(SCHEDULE_SECONDS)
    reasons = {job: reason for job, reason in _reasons().items() if job in jobs and reason in NEVER}
    if reasons:
        subprocess.run(["scancel", *jobs], capture_output=True, check=False)
        raise sbatch_problem(f"a job that would wait for ever: {', '.join(sorted(set(reasons.values())))}")


def _reasons() -> dict[str, str]:
    """Job of mine -> why it waits; None where it runs. Raises UserError where SLURM does not answer."""
    command = ["squeue", "--noheader", "--format=%i %r", "--me"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise UserError(
            f"squeue failed: {asked.stderr.strip() or f'exit status {asked.returncode}'}\n"
            "  fix      try again when SLURM's controller answers"
        )
    lines = asked.stdout.splitlines()
    return {job: reason.strip() for job, _, reason in (line.strip().partition(" ") for line in lines)}


class Queue:
    """Whether pilots of a sweep wait or run; says why they wait, whenever that changes."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._said: dict[str, str] = {}

    def __call__(self) -> bool:
        try:
            there, reasons = queued(self._folder), _reasons()
        except UserError:  # a busy controller is no empty queue
            return True
        waiting = {job: reasons[job] for job in there if reasons.get(job, "None") != "None"}
        if waiting != self._said:
            for job, reason in waiting.items():
                print(f"pilot {job} waits: {reason}", file=sys.stderr)
        self._said = waiting
        return bool(there)


def pilots_there(folder: SweepFolder, since: str) -> list[str]:
    """Pilots that wait or run and were submitted after the request to stop `since`: earlier ones end by themselves."""
    return queued(folder) if read_json(_jobs_file(folder)).get("since") == since else []


def queued(folder: SweepFolder) -> list[str]:
    """The sweep's pilots that wait or run."""
    jobs = read_json(_jobs_file(folder)).get("jobs")
    known = [str(job) for job in jobs] if isinstance(jobs, list) else []
    if not known:
        return []
    there = _reasons()
    return [job for job in known if job in there]


def _jobs_file(folder: SweepFolder) -> Path:
    return folder.path / LOGS / "jobs.json"
