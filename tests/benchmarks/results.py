"""`make results`: the trained losses of README's results table."""

import statistics
import subprocess
import sys
from pathlib import Path

from figures import Figure, report

from lit_transformer.records.run_folder import RunFolder

CLI = [sys.executable, "-m", "lit_transformer.cli"]
SEEDS = 3


def shakespeare() -> Figure:
    """Validation loss of the character GPT on the whole last tenth of tinyshakespeare, mean of three seeds."""
    losses = []
    for seed in range(SEEDS):
        done = subprocess.run(
            [*CLI, "fit", "gpt_shakespeare_cpu", f"seed={seed}"], check=True, stdout=subprocess.PIPE, text=True
        )
        metrics = RunFolder(Path(done.stdout.strip())).read_result()["metrics"]
        assert isinstance(metrics, dict)
        losses.append(metrics["val/loss"])
    note = f"seeds {', '.join(f'{loss:.4f}' for loss in losses)}; sd {statistics.stdev(losses):.4f}"
    return Figure("gpt_shakespeare_cpu: val/loss, mean of 3 seeds", statistics.mean(losses), "nats", 1.80, note=note)


if __name__ == "__main__":
    sys.exit(report([shakespeare()], "results-cpu"))
