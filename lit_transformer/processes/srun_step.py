"""One run as the tasks of one `srun` step, which the job's batch process starts: several GPUs, or several nodes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from lit_transformer.processes.trial import DRIFT_VARIABLE

SLURM_SECONDS = 5.0
"""What SLURM's controller has to answer: the worker that waits for it is to go on beating."""
KILL_SECONDS = 10.0
"""Between asking srun to kill its tasks and killing srun itself."""
NAME = "worker-"
"""What steps are named by, before the number of the process that started them."""


class SrunStep:
    """The ranks of a frozen run, one task each, within this SLURM job.

    The tasks find each other by the step's number: each step has its own MASTER_PORT (processes/launched.py). They die
    with this process: srun's standard input, which is theirs, is a pipe of ours.
    """

    def __init__(self, folder: Path, *, nodes: int, devices: int, threads: int, gpus: bool, log: Path) -> None:
        """`devices` ranks on each of `nodes`, with `threads` CPUs each, and one GPU each where `gpus`."""
        command = ["srun", f"--nodes={nodes}", f"--ntasks={nodes * devices}", f"--ntasks-per-node={devices}",
                   f"--cpus-per-task={threads}", "--exact", "--kill-on-bad-exit=1", "--unbuffered",
                   f"--job-name={NAME}{os.getpid()}"]  # fmt: skip
        command += [f"--gpus-per-node={devices}"] if gpus else []
        command += [
            sys.executable,
            "-m",
            "lit_transformer.processes.asked",
            "lit_transformer",
            "fit",
            "--resume",
            str(folder),
        ]
        command += ["--allow-drift"] if os.environ.get(DRIFT_VARIABLE) == "1" else []
        self._killed_at = 0.0
        self._swept = False
        with log.open("ab") as file:
            # a group of its own: signals to the pilot reach the tasks by `signal` alone
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # held open and never written to
                stdout=file,
                stderr=file,
                env=_environment(),
                process_group=0,
            )

    def poll(self) -> int | None:
        """The exit status of the step, that of its worst task; None while it runs; SIGKILL's after `kill`."""
        if self._killed_at and time.monotonic() - self._killed_at > KILL_SECONDS:
            self._process.kill()
        status = self._process.poll()
        if status is None:
            return None
        if status < 0 and not self._swept:
            self._swept = True
            _end_steps(lambda pid: pid == os.getpid())  # srun was killed, and its tasks live on
        if self._killed_at or status == 128 + signal.SIGKILL:
            return -signal.SIGKILL
        return status

    def signal(self, number: int) -> None:
        """Send a signal to every task: srun passes it on.

        At SIGTERM srun would kill its tasks at once; USR1, which asks a rank for the same, it passes on.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1 if number == signal.SIGTERM else number)

    def kill(self) -> None:
        """End every task at once: srun does so at its second SIGINT within a second."""
        if not self._killed_at:
            self._killed_at = time.monotonic()
            for _ in range(2):
                self.signal(signal.SIGINT)
                time.sleep(0.1)


def end_orphans() -> None:
    """End the steps of this job that outlived both the worker that started them and their srun."""
    _end_steps(lambda pid: not psutil.pid_exists(pid))


def _end_steps(which: Callable[[int], bool]) -> None:
    """Kill the tasks of this job's steps that were started by such processes; nothing where SLURM fails."""
    listed = ["squeue", "--steps", f"--jobs={os.environ.get('SLURM_JOB_ID', '')}", "--noheader", "--format=%i %j"]
    with suppress(subprocess.TimeoutExpired):
        asked = subprocess.run(listed, capture_output=True, text=True, check=False, timeout=SLURM_SECONDS)
        for step, _, name in (line.strip().partition(" ") for line in asked.stdout.splitlines()):
            pid = name.strip().removeprefix(NAME)
            if name.startswith(NAME) and pid.isdecimal() and which(int(pid)):
                subprocess.run(["scancel", step], capture_output=True, check=False, timeout=SLURM_SECONDS)


def _environment() -> dict[str, str]:
    """This job's, without what a batch script's options would make defaults of the step's."""
    given = ("SLURM_CPUS_PER_TASK", "SLURM_TRES_PER_TASK", "SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE")
    return {name: value for name, value in os.environ.items() if name not in given}
