"""What is looked at before a pilot is submitted: SLURM itself, the partition, and the cells that pilots can train."""

import shutil
import subprocess
from importlib.util import find_spec

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.sweep.slurm_settings import PilotSettings


def missing_programs() -> list[str]:
    """Those of SLURM's programs that are not on PATH: all of them where there is no SLURM."""
    return [program for program in ("sbatch", "srun", "squeue", "sinfo", "scontrol") if not shutil.which(program)]


def check_slurm(pilots: PilotSettings) -> None:
    """Raises UserError where SLURM's programs, the extra `slurm`, a controller or the partition are not there."""
    missing = missing_programs()
    if missing:
        raise UserError(
            f"--on slurm: SLURM is not installed here: {', '.join(missing)} not found on PATH\n"
            "  fix      run this on a login node of the cluster; without SLURM: --on local, and `sweep agent` on every "
            "other machine"
        )
    check_submitit()
    asked = subprocess.run(["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise UserError(
            f"--on slurm: SLURM's controller does not answer: {asked.stderr.strip() or 'sinfo failed'}\n"
            "  fix      try `sinfo`; ask whoever runs the cluster"
        )
    known = list(dict.fromkeys(asked.stdout.split()))
    unknown = [part for part in (pilots.partition or "").split(",") if part and part not in known]
    if unknown:
        guess = did_you_mean(unknown[0], known)
        raise UserError(
            f"partition: got {unknown[0]}, which this cluster does not have\n"
            f"  allowed  {', '.join(known)}\n"
            f"  fix      {f'did you mean {guess}?' if guess else f'--partition {known[0] if known else chr(63)}'}"
        )


def check_submitit() -> None:
    """Raises UserError where the extra `slurm` is not installed."""
    if find_spec("submitit") is None:
        raise UserError("--on slurm: submitit is not installed\n  fix      pip install 'lit-transformer[slurm]'")


def check_pilot(config: ExperimentConfig, pilots: PilotSettings) -> None:
    """Raises UserError where no pilot of this kind can train a cell."""
    trainer = config.trainer
    if trainer.accelerator == "cuda" and not pilots.gpus:
        raise UserError(
            "trainer.accelerator: got cuda, and pilots without GPUs\n  allowed  auto, cpu\n  fix      give --gpus N"
        )
    if pilots.gpus and trainer.accelerator in ("auto", "cuda") and trainer.devices > pilots.gpus:
        raise UserError(
            f"trainer.devices: got {trainer.devices}, and pilots with {pilots.gpus} GPUs a node\n"
            f"  allowed  at most {pilots.gpus}\n  fix      give --gpus {trainer.devices}"
        )
    if pilots.nodes is not None and trainer.num_nodes > pilots.nodes:
        raise UserError(
            f"trainer.num_nodes: got {trainer.num_nodes}, and pilots of {pilots.nodes} nodes\n"
            f"  allowed  at most {pilots.nodes}\n  fix      give --nodes {trainer.num_nodes}, or leave it out"
        )
