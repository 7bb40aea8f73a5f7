"""Trivial trials a minute, W&B offline: our sweep, a process for each trial, a loop of Optuna's in one process.

`python tests/benchmarks/sweep_rate.py [TRIALS [PROCESSES]]`; the promised numbers are for 200 trials. Every way trains
the same network on the same data into a run's folder, with checkpoint, validation and result; start-up counts.
"""

import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from figures import Figure

from lit_transformer.records.run_folder import RunFolder, find_runs

CLI = [sys.executable, "-m", "lit_transformer.cli"]
WORKERS = 2
PROMISED = 200
"""Trials from which on the ratios are promised: start-up weighs little then."""
EXPERIMENT = """
task: language_model
model: {{kind: gpt, num_layers: 1, num_heads: 1, d_model: 16, context_length: 16}}
data: {{source: text, path: {text}, batch_size: 4, tokenizer: {{kind: characters}}}}
schedule: {{warmup_steps: 1}}
trainer: {{max_steps: 2, val_every: 2, limit_val_batches: 1, accelerator: cpu, threads: 1}}
tracking: {{wandb: offline, log_every: 1}}
"""
SWEEP = """
method: grid
parameters:
  experiment: {{value: {experiment}}}
  seed: {{distribution: int_uniform, min: 0, max: {last}}}
"""


def ours(experiment: Path, folder: Path, trials: int) -> float:
    """Seconds of `sweep run`."""
    sweep = folder / "rate.yaml"
    sweep.write_text(SWEEP.format(experiment=experiment, last=trials - 1))
    command = [*CLI, "sweep", "run", str(sweep), "--workers", str(WORKERS), "--output", str(folder / "ours")]
    seconds = _timed(command)
    _check(folder / "ours", trials)
    return seconds


def processes(experiment: Path, folder: Path, trials: int) -> float:
    """Seconds of a process for each trial, two at once, as W&B's agent and its like start them."""
    files = []
    for seed in range(trials):
        files.append(folder / f"trial-{seed}.json")
        files[-1].write_text(json.dumps({"experiment": str(experiment), "seed": seed}))
    start = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(lambda file: _timed([*CLI, "trial", str(file), "--output", str(folder / "processes")]), files))
    seconds = time.perf_counter() - start
    _check(folder / "processes", trials)
    return seconds


def in_process(experiment: Path, folder: Path, trials: int) -> float:
    """Seconds of Optuna's loop over a function that trains in the loop's own process."""
    seconds = _timed([sys.executable, __file__, "--loop", str(experiment), str(folder / "loop"), str(trials)])
    _check(folder / "loop", trials)
    return seconds


def loop(experiment: str, folder: Path, trials: int) -> None:
    """What `in_process` runs: no isolation, one wandb for all trials."""
    import optuna
    import wandb

    from lit_transformer.config.layers import mapping_layer
    from lit_transformer.config.load import load_experiment
    from lit_transformer.training.fit import freeze
    from lit_transformer.training.prepare import prepare
    from lit_transformer.training.run import main as train

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        seed = trial.suggest_int("seed", 0, 10**6)
        loaded = load_experiment(experiment, [mapping_layer({"seed": seed}, "optuna")])
        run, _ = freeze(loaded, prepare(loaded.config), folder / "rate" / str(trial.number))
        tracked = wandb.init(mode="offline", dir=run.path, config=run.read_config(), reinit="create_new",
                             settings=wandb.Settings(console="off", silent=True, x_disable_stats=True))  # fmt: skip
        assert train(str(run.path)) == 0
        for row in run.read_metrics():
            tracked.log({name: value for name, value in row.items() if name != "step"}, step=int(row["step"] or 0))
        tracked.finish()
        return float(run.read_result()["metrics"]["val/loss"])  # type: ignore[index]

    optuna.create_study().optimize(objective, n_trials=trials)


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return time.perf_counter() - start


def _check(folder: Path, trials: int) -> None:
    found: list[RunFolder] = [run for run in find_runs(folder) if run.status() == "complete"]
    assert len(found) == trials, (len(found), trials)
    assert all(list(run.path.glob("wandb/offline-run-*/*.wandb")) for run in found)


def measure(trials: int = 200, alone: int = 10) -> list[Figure]:
    """Trials a minute of ours, and how many times those of the others; `alone` trials get a process each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = folder / "text.txt"
        text.write_text("the quick brown fox jumps over the lazy dog and sleeps. " * 80)
        experiment = folder / "trivial.yaml"
        experiment.write_text(EXPERIMENT.format(text=text))
        rate = {
            "ours": trials / ours(experiment, folder, trials),
            "processes": alone / processes(experiment, folder, alone),
            "loop": trials / in_process(experiment, folder, trials),
        }
    ours_, processes_, loop_ = (60 * rate[name] for name in ("ours", "processes", "loop"))
    asked = (15.0, 0.5) if trials >= PROMISED else (None, None)
    what = f"{trials} trivial trials, {WORKERS} workers, W&B offline"
    return [
        Figure(what, ours_, "trials a minute"),
        Figure(f"{what}, over a process for each", ours_ / processes_, "x", asked[0], at_most=False,
               note=f"{processes_:.1f} trials a minute"),
        Figure(f"{what}, over Optuna's loop in one process", ours_ / loop_, "x", asked[1], at_most=False,
               note=f"{loop_:.1f} trials a minute"),
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--loop"]:
        loop(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
    else:
        for figure in measure(*(map(int, sys.argv[1:3] or [20, 4]))):
            print(figure)
