"""Whether a cell of a large sweep costs what one of a small sweep does: the first and the last of 2,000 cells.

The sweep is begun for real, stopped after COUNT cells, all but the last COUNT of the others are given a finished cell's
records, and the same command goes on with it.
"""

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from figures import Figure
from sweep_rate import CLI, EXPERIMENT, SWEEP, WORKERS

from lit_transformer.records.sweep_folder import SweepFolder
from lit_transformer.sweep.plan import read_plan

CELLS, COUNT = 2000, 40
BOUND = 1.1
"""Time of a late cell over that of an early one, at most."""
KEPT = ("result.json", "config.yaml", "metrics.jsonl", "system.jsonl")
PATIENCE = 300.0
"""Seconds that cells may take to come."""


def ends(folder: SweepFolder) -> dict[str, float]:
    """Each complete cell, and when it became so."""
    found = folder.claims.glob("*.complete")
    return {path.name.rsplit(".", 2)[0]: path.stat().st_mtime for path in found}


def seconds_each(times: list[float]) -> float:
    """From one end to the next, on average."""
    return (max(times) - min(times)) / (len(times) - 1)


def begin(command: list[str], folder: SweepFolder) -> list[float]:
    """Run the sweep until COUNT cells are complete, and stop it; when they became so."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        limit = time.monotonic() + PATIENCE
        while len(ends(folder)) < COUNT and process.poll() is None:
            if time.monotonic() > limit:
                process.kill()
                raise RuntimeError(f"{len(ends(folder))} cells in {PATIENCE:.0f} s")
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    return sorted(ends(folder).values())[:COUNT]


def fill(folder: SweepFolder) -> None:
    """Let all but COUNT of the cells that nobody has begun be complete."""
    done = ends(folder)
    model = folder.cell(next(iter(done))).path
    begun = {path.name.rpartition(".")[0] for path in folder.claims.glob("*.1")}
    left = [cell.name for cell in read_plan(folder).valid() if cell.name not in begun]
    for name in left[: CELLS - len(done) - COUNT]:
        cell = folder.cell(name).path
        cell.mkdir(parents=True)
        for file in KEPT:
            shutil.copyfile(model / file, cell / file)
        shutil.copyfile(folder.claims / f"{model.name}.1", folder.claims / f"{name}.1")
        (folder.claims / f"{name}.1.complete").touch()


def measure() -> list[Figure]:
    """Milliseconds between two ends, early and late, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        text, experiment, sweep = root / "text.txt", root / "trivial.yaml", root / "flat.yaml"
        text.write_text("the quick brown fox jumps over the lazy dog and sleeps. " * 80)
        experiment.write_text(EXPERIMENT.format(text=text))
        sweep.write_text(SWEEP.format(experiment=experiment, last=CELLS - 1))
        command = [*CLI, "sweep", "run", str(sweep), "--workers", str(WORKERS), "--output", name, "--name", "flat"]
        folder = SweepFolder(root / "sweeps" / "flat")
        early = begin(command, folder)
        fill(folder)
        before = ends(folder).keys()
        subprocess.run(command, check=True, capture_output=True)
        found = ends(folder)
        assert len(found) == CELLS, f"{len(found)} of {CELLS} cells are complete"
        late = [found[cell] for cell in found.keys() - before]
    first, last = (1000 * seconds_each(times) for times in (early, late))
    note = f"{first:.0f} and {last:.0f} ms a cell, {len(early)} and {len(late)} cells, {WORKERS} workers"
    return [Figure(f"the last cells of {CELLS:,} over the first, time each", last / first, "x", BOUND, note=note)]


if __name__ == "__main__":
    for found in measure():
        print(found)
