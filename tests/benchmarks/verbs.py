"""How long each verb takes to its first line of output, in a fresh process, on runs of one step and a small sweep."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from figures import Figure

CLI = [sys.executable, "-m", "lit_transformer.cli"]
IMAGE = Path(__file__).resolve().parents[2] / "docs" / "shapes.png"
EXPERIMENTS = ("gpt_tiny", "translation_tiny", "bert_tiny", "bert_classification_tiny", "gpt_choice_tiny",
               "segmenter_tiny")  # fmt: skip
SHORT = ("trainer.max_steps=1", "trainer.limit_val_batches=1", "tracking.wandb=off", "tracking.log_every=1")
SWEEP = "method: grid\nparameters: {experiment: {value: gpt_tiny}, model.num_heads: {values: [1, 2]}}\n"


def first_output(arguments: list[str]) -> float:
    """Seconds until either stream says something; raises RuntimeError where the verb fails.

    Both go into one pipe, as on a terminal, where progress counts as an answer. What goes on after it (a dashboard) is
    ended.
    """
    ends = arguments[0] != "dashboard"
    start = time.perf_counter()
    with subprocess.Popen([*CLI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - start
        if not ends:
            process.terminate()
        said += process.stdout.read()
    if not said or (ends and process.returncode != 0):
        raise RuntimeError(f"{' '.join(arguments)}: {said.decode()[-1000:]}")
    return seconds


def make_runs(folder: Path) -> dict[str, str]:
    """Experiment -> its run of one step; two at once, since their time is not measured."""

    def make(name: str) -> str:
        command = [*CLI, "fit", name, *SHORT, "--output", str(folder)]
        done = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.stdout.strip().splitlines()[-1]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(EXPERIMENTS, pool.map(make, EXPERIMENTS), strict=True))


def commands(folder: Path, runs: dict[str, str], sweep: Path) -> Iterator[tuple[str, list[str]]]:
    """Each verb and what it is called with."""
    gpt, translation, root = runs["gpt_tiny"], runs["translation_tiny"], str(folder / "sweeps" / "small")
    trial = folder / "trial.json"
    trial.write_text('{"experiment": "gpt_tiny", "trainer.max_steps": 1, "tracking.wandb": "off"}')
    yield "config", ["config", "gpt_tiny"]
    yield "fit", ["fit", "gpt_tiny", *SHORT, "--output", str(folder)]
    yield "trial", ["trial", str(trial), "--output", str(folder / "trials")]
    yield "sweep run --dry-run", ["sweep", "run", str(sweep), "--dry-run", "--output", str(folder)]
    yield "sweep run", ["sweep", "run", str(sweep), *SHORT, "--output", str(folder)]
    yield "sweep status", ["sweep", "status", root]
    yield "compare", ["compare", root]
    yield "evaluate", ["evaluate", gpt]
    yield "generate", ["generate", gpt, "--prompt", "Return the", "--max-new-tokens", "5"]
    yield "translate", ["translate", translation, "forty-two"]
    yield "attend", ["attend", translation, "forty-two", "--output", str(folder / "attention.html")]
    yield "export", ["export", translation, str(folder / "exported")]
    yield "fill", ["fill", runs["bert_tiny"], "Return the [MASK] of the file."]
    yield "classify", ["classify", runs["bert_classification_tiny"], "what a good film"]
    yield "choose", ["choose", runs["gpt_choice_tiny"], "The cup fell.", "It broke.", "It sang."]
    yield "segment", ["segment", runs["segmenter_tiny"], str(IMAGE), "--output", str(folder / "masks")]
    yield "dashboard", ["dashboard", str(folder)]


def figures(done: Callable[[], None]) -> list[Figure]:
    """Seconds of every verb; `done` is called after each."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = folder / "small.yaml"
        sweep.write_text(SWEEP)
        for verb, arguments in commands(folder, make_runs(folder), sweep):
            seconds = first_output(arguments)
            found.append(Figure(f"{verb}: first output", seconds, "s", facts={"verb": verb}))
            done()
    return found
