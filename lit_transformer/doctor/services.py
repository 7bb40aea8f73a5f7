"""What runs talk to: the fork server, W&B, SLURM. Being offline and having no SLURM is fine."""

import os
import shutil
import subprocess
from collections.abc import Iterator

from lit_transformer.doctor.check import Check
from lit_transformer.doctor.probe import probe

FORK_PROBE = "lit_transformer.doctor.fork_probe"
WANDB_PROBE = "lit_transformer.doctor.wandb_probe"
FORK_TIMEOUT = 60.0
WANDB_TIMEOUT = 40.0
"""Seconds; wandb itself gives up on a server that does not answer after some 10."""
SCONTROL_TIMEOUT = 10.0


def fork_server() -> Iterator[Check]:
    """Whether a trial's process starts, with everything that it imports."""
    found, name = probe(FORK_PROBE, timeout=FORK_TIMEOUT).get("fork"), "fork server"
    if "error" in found:
        fix = "mend the packages named above first; without any, look at the limits on processes (ulimit -u)"
        yield Check(name=name, state="problem", found=f"no child starts: {found['error']}", fix=fix)
        return
    cold, warm = float(str(found["cold"])), float(str(found["warm"]))
    text = f"a child starts in {warm:.2f} s; the first took {cold:.1f} s, with torch, Lightning and wandb"
    yield Check(name=name, state="ok", found=text)


def wandb() -> Iterator[Check]:
    """What `tracking.wandb: auto` means here, and whether W&B is logged in."""
    reporting = os.environ.get("WANDB_ERROR_REPORTING")
    told = f"; WANDB_ERROR_REPORTING={reporting}" if reporting else ""
    given = os.environ.get("WANDB_MODE")
    told += f"; WANDB_MODE={given}" if given else ""
    found = probe(WANDB_PROBE, timeout=WANDB_TIMEOUT).get("wandb")
    if "error" in found:
        fix = "set WANDB_MODE=offline, or tracking.wandb=offline; `wandb sync` carries the runs later"
        yield Check(name="W&B", state="warning", found=f"auto fails here: {found['error']}{told}", fix=fix)
        return
    logged_in = "logged in" if found["logged_in"] else "not logged in"
    text = f"wandb {found['version']}: auto means {found['mode']}; {logged_in}{told}"
    if found["mode"] == "online" and not found["logged_in"]:
        fix = "wandb login, or set WANDB_MODE=offline"
        yield Check(name="W&B", state="warning", found=text, fix=fix)
        return
    yield Check(name="W&B", state="ok", found=text)


def slurm() -> Iterator[Check]:
    """Whether SLURM's programs are here, whether its controller answers, and whether this is a job."""
    present = [name for name in ("sbatch", "srun", "scontrol") if shutil.which(name)]
    job = os.environ.get("SLURM_JOB_ID")
    here = "not inside a job"
    if job:
        nodes, tasks = (os.environ.get(f"SLURM_{key}", "?") for key in ("JOB_NODELIST", "NTASKS"))
        here = f"inside job {job} on {nodes}, {tasks} tasks"
    if not present:
        missing = "sbatch, srun and scontrol are not on PATH"
        yield Check(
            name="SLURM",
            state="warning" if job else "ok",
            found=f"{here}, but {missing}" if job else f"none here: {missing}",
            fix="add SLURM's programs to PATH" if job else "",
        )
        return
    yield _controller(f"{', '.join(present)}; {here}", "scontrol" in present)


def _controller(found: str, has_scontrol: bool) -> Check:
    if not has_scontrol:
        return Check(name="SLURM", state="ok", found=f"{found}; no scontrol to ask the controller with")
    try:
        done = subprocess.run(
            ["scontrol", "ping"], capture_output=True, text=True, timeout=SCONTROL_TIMEOUT, check=False
        )
        said, up = (
            ((done.stdout or done.stderr).strip().splitlines() or ["nothing"])[-1],
            done.returncode == 0 and " UP" in done.stdout,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        said, up = str(error), False
    if up:
        return Check(name="SLURM", state="ok", found=f"{found}; {said}")
    fix = "ask the cluster's administrators; runs on this machine alone need no SLURM"
    return Check(name="SLURM", state="warning", found=f"{found}; the controller does not answer: {said}", fix=fix)
