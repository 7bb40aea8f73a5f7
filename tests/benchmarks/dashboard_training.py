"""Training beside a dashboard and an open page that watches it, over the same training alone, by turns.

The page draws on the same machine: where training uses every core, what the browser needs is taken from it. The note
says how many CPU seconds dashboard and browser used; with a core free the figure shows what is left besides.
"""

import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from browsing import Dashboard, chromium, load, shown
from figures import Figure
from playwright.sync_api import Browser

from lit_transformer.records.run_folder import RunFolder

PAIRS = 3
STEPS = 600
THREADS = {"every core": 2, "one core free": 1}
"""Threads of the training on two cores."""
ASKED = 0.97
"""Steps/s of the same training differ by about so much from run to run."""


def train(root: Path, threads: int) -> tuple[float, str]:
    """Steps/s between the first and the last row of system.jsonl, which leaves start-up out, and the run's name."""
    command = [sys.executable, "-m", "lit_transformer", "fit", "gpt_tiny", f"trainer.max_steps={STEPS}"]
    command += [f"trainer.threads={threads}", "trainer.accelerator=cpu", "trainer.val_every=1000000"]
    command += ["trainer.limit_val_batches=1", "tracking.wandb=off", "--output", str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    run = RunFolder(Path(done.stdout.strip().splitlines()[-1]))
    rows = [row for row in run.read_system() if row.get("seconds")]
    first, last = rows[0], rows[-1]
    return (last["step"] - first["step"]) / (last["seconds"] - first["seconds"]), run.path.name


@contextmanager
def watched(root: Path, browser: Browser, used: list[float]) -> Iterator[list[str]]:
    """A dashboard over `root` and an open page of curves, which must draw the runs that the block names."""
    served = Dashboard(root)
    try:
        page = browser.new_page()
        page.goto(f"{served.address}curves?metric=train/loss")
        shown(page, "() => document.querySelectorAll('#curves-figure .scatterlayer .trace').length > 0")
        before = seconds_of(served)
        names: list[str] = []
        yield names
        used.append(seconds_of(served) - before)
        for name in names:
            drawn = "document.querySelector('#curves-figure .js-plotly-plot').data"
            shown(page, f"() => {drawn}.some(trace => trace.name.endsWith('{name}') && trace.x.at(-1) === {STEPS})")
        page.close()
    finally:
        served.close()


def seconds_of(served: Dashboard) -> float:
    """CPU seconds of the dashboard and of the browser so far."""
    times = [served.process.cpu_times()]
    for process in psutil.Process().children(recursive=True):
        try:
            if "chrom" in process.name():
                times.append(process.cpu_times())
        except psutil.Error:  # ended meanwhile
            pass
    return sum(time.user + time.system for time in times)


def measured(root: Path, browser: Browser, name: str, threads: int) -> Figure:
    """The median of PAIRS of trainings, alone and watched in random order."""
    shuffle, ratios, alone, used = random.Random(0), [], [], [0.0]
    for _ in range(PAIRS):
        speeds: dict[str, float] = {}
        for kind in shuffle.sample(["alone", "watched"], 2):
            if kind == "alone":
                speeds[kind], _ = train(root, threads)
            else:
                with watched(root, browser, used) as names:
                    speeds[kind], run = train(root, threads)
                    names.append(run)
        alone.append(speeds["alone"])
        ratios.append(speeds["watched"] / speeds["alone"])
    note = (
        f"{statistics.median(alone):.1f} steps/s alone ({min(alone):.1f} to {max(alone):.1f}); dashboard and browser "
        f"used {statistics.median(used[1:]):.1f} CPU seconds a run; {load()}"
    )
    figure = f"training watched on a page over alone, {name}"
    return Figure(figure, statistics.median(ratios), "x", ASKED, at_most=False, note=note)


def measure() -> list[Figure]:
    """The ratio of steps/s with and without a page; nothing where there is no Chromium."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        if browser is None:
            return []
        train(Path(folder), 2)  # prepares the data, and gives the page something to draw
        return [measured(Path(folder), browser, name, threads) for name, threads in THREADS.items()]


if __name__ == "__main__":
    for found in measure():
        print(found)
