"""The sweep of `make demo`: its time, and how far each cell is under the unigram entropy."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure

from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import find_runs

CLI = [sys.executable, "-m", "lit_transformer.cli"]


def measure() -> list[Figure]:
    """Cells, seconds, and the worst cell's margin in nats per token."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([*CLI, "sweep", "run", "sweeps/demo.yaml", "--output", folder], check=True, capture_output=True)
        root = Path(folder) / "sweeps" / "demo"
        subprocess.run([*CLI, "compare", str(root)], check=True, capture_output=True)
        seconds = time.perf_counter() - start
        runs = [run for run in find_runs(root) if run.status() == "complete"]
        margins = []
        for run in runs:
            entropy, metrics = read_json(run.prepared_file)["unigram_entropy"], run.read_result()["metrics"]
            assert isinstance(entropy, dict) and isinstance(metrics, dict)
            margins.append(entropy["val"] - metrics["val/loss"])
    return [
        Figure("demo: complete cells", len(runs), "of 9", 9, at_most=False),
        Figure("demo: sweep and compare", seconds, "s", 150),
        Figure("demo: least margin under the unigram entropy", min(margins), "nats", 0.5, at_most=False),
    ]


if __name__ == "__main__":
    for found in measure():
        print(found)
