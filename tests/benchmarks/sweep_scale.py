"""How planning scales: the dry run of a grid of 2,000 cells with 20 networks, and claiming them one after another."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure

from lit_transformer.sweep.cells import build_cells
from lit_transformer.sweep.file import read_sweep
from lit_transformer.sweep.holder import Holder
from lit_transformer.sweep.ledger import Ledger

CLI = [sys.executable, "-m", "lit_transformer.cli"]
SWEEP = """
method: grid
parameters:
  experiment: {value: gpt_tiny}
  model.num_heads: {values: [1, 2, 4, 8]}
  model.num_layers: {values: [1, 2, 3, 4, 5]}
  optimizer.lr: {values: [1.0e-4, 2.0e-4, 3.0e-4, 4.0e-4, 5.0e-4, 6.0e-4, 7.0e-4, 8.0e-4, 9.0e-4, 1.0e-3]}
  seed: {values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}
"""
CELLS = 2000
ENDS = 50
"""Claims at the start and at the end that are looked at."""


def dry_run(sweep: Path) -> float:
    """Seconds of `sweep run --dry-run`, data prepared before."""
    command = [*CLI, "sweep", "run", str(sweep), "--dry-run", "--output", str(sweep.parent)]
    subprocess.run([*CLI, "sweep", "run", "demo", "--dry-run"], check=True, capture_output=True)  # the same data
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    assert f"\n{CELLS} cells" in done.stdout, done.stdout[-500:]
    return seconds


def claims(sweep: Path) -> list[float]:
    """Seconds of each claim, in order; every cell ends before the next one is claimed."""
    names = [cell.name for cell in build_cells(read_sweep(sweep))]
    assert len(names) == CELLS
    ledger = Ledger(sweep.parent / "claims", names, Holder.here("bench"))
    times = []
    for _ in names:
        start = time.perf_counter()
        claim = ledger.claim()
        times.append(time.perf_counter() - start)
        assert claim is not None
        claim.end("complete")
    assert ledger.claim() is None
    return times


def measure() -> list[Figure]:
    """Seconds of the dry run, milliseconds of the first and the last claims."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder) / "scale.yaml"
        sweep.write_text(SWEEP)
        times = claims(sweep)
        seconds = dry_run(sweep)
    first, last = (1000 * statistics.median(part) for part in (times[:ENDS], times[-ENDS:]))
    return [
        Figure(f"dry run of a grid of {CELLS:,} cells", seconds, "s", 20, note="20 networks"),
        Figure(f"a claim, the first {ENDS} of {CELLS:,}", first, "ms", 50, note="median"),
        Figure(f"a claim, the last {ENDS} of {CELLS:,}", last, "ms", 50, note="median"),
    ]


if __name__ == "__main__":
    for found in measure():
        print(found)
