"""`sweep run --on slurm --dry-run`: what would be submitted, checked by SLURM where there is one."""

import subprocess
from dataclasses import dataclass

from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.pilot import node_slots
from lit_transformer.sweep.plan import Plan
from lit_transformer.sweep.requests import newest_request
from lit_transformer.sweep.slots import Slots
from lit_transformer.sweep.slurm import batch_script, pilot_executor, pilots_there
from lit_transformer.sweep.slurm_checks import check_slurm, check_submitit, missing_programs
from lit_transformer.sweep.slurm_settings import PilotSettings
from lit_transformer.sweep.status import sweep_status


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The pilots of a sweep, not submitted."""

    jobs: int
    """Those that are missing, which is what would be submitted."""
    there: tuple[str, ...]
    """Numbers of those that wait or run already."""
    slots: Slots
    """The workers of each pilot."""
    script: str
    """What sbatch would be given for each."""
    said: str
    """What SLURM says of the script, or that there is no SLURM here."""

    def lines(self) -> list[str]:
        """For a person; the script last."""
        there = f", and {len(self.there)} are there already: {' '.join(self.there)}" if self.there else ""
        pilots = "1 pilot" if self.jobs == 1 else f"{self.jobs} pilots"
        each = "1 trial" if self.slots.workers == 1 else f"{self.slots.workers} trials"
        head = f"{pilots} would be submitted{there}, each of {each} at once, as:"
        return [head, *self.script.splitlines(), self.said]

    def to_json(self) -> dict[str, object]:
        """The part `slurm` of `sweep run --dry-run --json`."""
        return {"jobs": self.jobs, "there": list(self.there), "trials": self.slots.workers, "script": self.script,
                "said": self.said}  # fmt: skip


def check_options(pilots: PilotSettings) -> None:
    """What can be checked before cells are built; raises UserError as `check_slurm`, but not where SLURM is missing."""
    check_submitit() if missing_programs() else check_slurm(pilots)


def submission(folder: SweepFolder, plan: Plan, pilots: PilotSettings, per_device: int) -> Submission:
    """What `sweep run --on slurm` would submit for a plan; submits and writes nothing. Raises UserError as it does."""
    missing, cells = missing_programs(), plan.valid()
    script = batch_script(pilot_executor(folder, plan, cells, pilots))
    done = folder.exists() and sweep_status(folder.path).exit_status == 0
    there = [] if missing else pilots_there(folder, newest_request(folder))
    gpus = [str(number) for number in range(pilots.gpus)]
    return Submission(
        jobs=0 if done else max(0, pilots.pilots - len(there)),
        there=tuple(there),
        slots=node_slots(cells, gpus, plan.threads, per_device),
        script=script,
        said=f"no SLURM here ({', '.join(missing)} not found on PATH): no partition, account or limit was checked"
        if missing
        else _asked(script),
    )


def _asked(script: str) -> str:
    """What SLURM says of a batch script that it is only to look at."""
    asked = subprocess.run(["sbatch", "--test-only"], input=script, capture_output=True, text=True, check=False)
    said = " ".join((asked.stdout + asked.stderr).split())
    return f"SLURM, asked by sbatch --test-only: {said or f'exit status {asked.returncode}'}"
