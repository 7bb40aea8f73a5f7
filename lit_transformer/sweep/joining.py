"""`sweep agent`: workers of this machine join a sweep whose folder they see, whoever else runs it."""

import sys
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.driver import reopen, run_workers
from lit_transformer.sweep.foreign import read_foreign
from lit_transformer.sweep.ledger import End
from lit_transformer.sweep.plan import read_plan
from lit_transformer.sweep.run import announce, planned_cells, slots_of
from lit_transformer.sweep.slots import Slots

JOINED: tuple[End, ...] = ("stopped",)
"""Ends that a joining worker runs again: whoever joins wants the sweep to go on. Failures wait for `sweep retry`."""


def sweep_agent(
    path: Path, *, workers: int | None = None, per_device: int | None = None, allow_drift: bool = False
) -> tuple[int, Path]:
    """Run open cells of a sweep until nothing is left for anybody; the exit status and the sweep's folder.

    Several agents and a driver share a sweep by its ledger alone. A cell that an agent leaves for a signal is open to
    the others. 0 when every valid cell is complete or pruned, 130 or 143 when a signal stopped the agent, else 1.
    Raises UserError for a folder that is no sweep's, and where this machine has not what the cells need.
    """
    folder = SweepFolder(path)
    plan = read_plan(folder)
    cells = [cell for cell in planned_cells(folder) if _nodes(cell.config) == 1]
    if not cells and read_foreign(folder) is None:
        raise UserError(
            f"{path}: every cell trains on several nodes, and an agent is one machine\n"
            "  fix      `lit-transformer sweep run FILE --on slurm` submits pilots that can run them"
        )
    slots = slots_of(folder, plan, workers, per_device)
    announce(folder, plan, slots)
    return join(folder, slots, allow_drift=allow_drift), folder.path


def join(folder: SweepFolder, slots: Slots, *, allow_drift: bool, srun_nodes: int = 0) -> int:
    """Open what an earlier stop left, unless a driver runs the sweep, and run open cells; the exit status."""
    plan = read_plan(folder)
    lock = folder.lock
    if lock.acquire():  # for a moment: what has ended is nobody's while no driver runs
        try:
            reopen(folder, plan, JOINED)
        finally:
            lock.release()
    else:
        print(f"{folder.path} has a driver; this machine's workers join it", file=sys.stderr)
    return run_workers(folder, plan, slots, leaves=True, allow_drift=allow_drift, srun_nodes=srun_nodes)


def _nodes(config: object) -> int:
    trainer = config.get("trainer") if isinstance(config, dict) else None
    nodes = trainer.get("num_nodes") if isinstance(trainer, dict) else 1
    return nodes if isinstance(nodes, int) else 1
