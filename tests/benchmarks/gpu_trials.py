"""Whole runs on the GPU, each a process of the product's own: a child of gpu.py, which itself never touches CUDA.

sweep, fork and resume take small runs; shakespeare and multi30k train an experiment for as long as there is time.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_lines import end_with_parent, reason, say

from lit_transformer.config.layers import mapping_layer
from lit_transformer.config.load import load_layers
from lit_transformer.processes.trial import TrialRunner
from lit_transformer.records.run_folder import RunFolder, find_runs
from lit_transformer.training.fit import freeze
from lit_transformer.training.prepare import prepare

CLI = [sys.executable, "-m", "lit_transformer.cli"]
TOGETHER = (1, 2, 4, 8)
"""Trials at once on the GPU."""
TEXT = "the quick brown fox jumps over the lazy dog and sleeps. " * 4000
SMALL = {"num_layers": 4, "num_heads": 4, "d_model": 128, "context_length": 128}
TINY = {"num_layers": 1, "num_heads": 1, "d_model": 16, "context_length": 16}
SWEEP = """
method: grid
parameters:
  experiment: {{value: {experiment}}}
  seed: {{distribution: int_uniform, min: 0, max: {last}}}
"""


def settings(folder: Path, device: str, tiny: bool, **more: object) -> dict[str, object]:
    """A small GPT on letters."""
    text = folder / "text.txt"
    text.write_text(TEXT[: 4000 if tiny else None])
    model = {"model.kind": "gpt", **{f"model.{name}": value for name, value in (TINY if tiny else SMALL).items()}}
    data = {"data.source": "text", "data.path": str(text), "data.batch_size": 4 if tiny else 16,
            "data.tokenizer.kind": "characters"}  # fmt: skip
    fixed = {"task": "language_model", "schedule.warmup_steps": 1, "trainer.accelerator": device, "trainer.threads": 1,
             "trainer.precision": "bf16-mixed" if device == "cuda" else "32", "tracking.wandb": "off"}  # fmt: skip
    return {**model, **data, **fixed, **more}


def sweep(folder: Path, device: str, tiny: bool, until: float) -> None:
    """Trials a minute of a sweep of small GPTs, with 1, 2, 4 and 8 at once; with and without what starting it takes."""
    trials, steps = (2, 4) if tiny else (8, 500)
    more = {"trainer.max_steps": steps, "trainer.val_every": steps, "trainer.limit_val_batches": 1}
    experiment = folder / "small.yaml"
    chosen = settings(folder, device, tiny, **more)
    experiment.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in chosen.items()))
    file = folder / "rate.yaml"
    file.write_text(SWEEP.format(experiment=experiment, last=trials - 1))
    alone = 0.0
    option = "--per-device" if device == "cuda" else "--workers"
    for together in TOGETHER[:2] if tiny else TOGETHER:
        output = folder / f"together-{together}"
        start = time.monotonic()
        command = [*CLI, "sweep", "run", str(file), option, str(together), "--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              timeout=max(1.0, until - start))  # fmt: skip
        seconds = time.monotonic() - start
        runs = [run for run in find_runs(output) if run.status() == "complete"]
        if done.returncode or len(runs) != trials:
            raise RuntimeError(f"{together} at once: {len(runs)} of {trials} are complete; {done.stderr[-300:]}")
        begun = min(run.config_file.stat().st_mtime for run in runs)
        working = max(run.result_file.stat().st_mtime for run in runs) - begun
        alone = alone or working
        say(row={"trials": trials, "steps": steps, f"trials_per_minute_{together}": 60 * trials / seconds,
                 f"trials_per_minute_once_started_{together}": 60 * trials / working,
                 f"over_one_at_a_time_{together}": alone / working})  # fmt: skip


def new_run(folder: Path, name: str, chosen: dict[str, object]) -> RunFolder:
    """A frozen run."""
    loaded = load_layers([mapping_layer(chosen, "gpu_trials.py")])
    return freeze(loaded, prepare(loaded.config), folder / name)[0]


def fork(folder: Path, device: str, tiny: bool, until: float) -> None:
    """Seconds of a cold and of warm trials by one fork server, which must not have opened the GPU."""
    runner, seconds = TrialRunner(), []
    more = {"trainer.max_steps": 3, "trainer.val_every": 3, "trainer.limit_val_batches": 1}
    for number in range(3):
        run = new_run(folder, f"fork-{number}", settings(folder, device, tiny, **more))
        start = time.monotonic()
        status = runner.start(run.path, log=run.log_file, track=False).wait()
        seconds.append(time.monotonic() - start)
        if status:
            raise RuntimeError(f"trial {number} ended with {status}: {run.log_file.read_text()[-300:]}")
    opened = device_files(server_pid())
    runner.close()
    say(row={"cold_trial_seconds": seconds[0], "warm_trial_seconds": min(seconds[1:]),
             "server_has_the_gpu_open": bool(opened)})  # fmt: skip
    if opened:
        raise RuntimeError(f"the fork server has opened {', '.join(opened)}: its children cannot use CUDA")


def server_pid() -> int:
    """The process that forks."""
    from multiprocessing import forkserver

    pid = forkserver._forkserver._forkserver_pid
    assert pid is not None
    return pid


def device_files(pid: int) -> list[str]:
    """Which of a GPU's files a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("/dev/nvidia") or target.startswith("/dev/kfd"):
            found.add(target)
    return sorted(found)


def resume(folder: Path, device: str, tiny: bool, until: float) -> None:
    """A run that is killed with SIGKILL in the middle and goes on, beside one that nobody killed."""
    from tests.training.proofs import differences

    steps = 40 if tiny else 300
    more = {"trainer.max_steps": steps, "trainer.val_every": steps // 2, "trainer.checkpoint_every": steps // 8,
            "trainer.limit_val_batches": 2, "trainer.deterministic": True, "model.dropout": 0.1,
            "tracking.log_every": 5}  # fmt: skip
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for, of a deterministic cuBLAS
    chosen = settings(folder, device, tiny, **more)
    runner = TrialRunner()
    whole, killed = (new_run(folder, name, chosen) for name in ("whole", "killed"))
    if runner.start(whole.path, log=whole.log_file, track=False).wait():
        raise RuntimeError(f"the whole run failed: {whole.log_file.read_text()[-300:]}")
    group = runner.start(killed.path, log=killed.log_file, track=False)
    while not list(killed.checkpoints.glob("step-*.ckpt")) and group.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    group.signal(signal.SIGKILL)
    ended = group.wait()
    if ended != -signal.SIGKILL:
        raise RuntimeError(f"the run ended with {ended} before it was killed")
    start = time.monotonic()
    status = runner.start(killed.path, log=killed.log_file, track=False).wait()
    if status:
        raise RuntimeError(f"the resumed run ended with {status}: {killed.log_file.read_text()[-300:]}")
    runner.close()
    found = differences(whole, killed)
    say(row={"exact": not found, "differences": found[:5], "seconds_to_the_end": time.monotonic() - start})
    if found:
        raise RuntimeError(f"the resumed run differs in {len(found)} places, first {found[0]}")


def train(experiment: str, folder: Path, tiny: bool, until: float, device: str) -> RunFolder:
    """A run of an experiment that ends in time, complete or as far as it came."""
    seconds = max(10, round(until - time.monotonic() - 40))
    words = [f"trainer.max_time={seconds}s", f"trainer.accelerator={device}", "tracking.wandb=off"]
    if tiny:
        words += ["trainer.max_steps=2", "trainer.val_every=2", "trainer.limit_val_batches=1", "model.num_layers=1",
                  "trainer.compile=false", "trainer.precision=32", "schedule.warmup_steps=1",
                  "trainer.average_checkpoints=0", "decoding.val_rows=2", "decoding.beam_size=1",
                  "decoding.max_length=4"]  # fmt: skip
    done = subprocess.run([*CLI, "fit", experiment, *words, "--output", str(folder)], stdout=subprocess.PIPE, text=True,
                          check=False)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"fit {experiment} ended with {done.returncode}")
    return RunFolder(Path(done.stdout.strip()))


def shakespeare(folder: Path, device: str, tiny: bool, until: float) -> None:
    """The best validation loss of gpt_shakespeare; nanoGPT's is 1.4697."""
    tell(train("gpt_shakespeare", folder, tiny, until, device))


def multi30k(folder: Path, device: str, tiny: bool, until: float) -> None:
    """BLEU of translation_multi30k on test2016; 41.02 is published."""
    run = train("translation_multi30k", folder, tiny, until, device)
    tell(run)
    done = subprocess.run([*CLI, "evaluate", str(run.path), "--json", *(["--split", "val"] if tiny else [])],
                          stdout=subprocess.PIPE, text=True, check=True)  # fmt: skip
    say(row={"tested": json.loads(done.stdout)})


def tell(run: RunFolder) -> None:
    """How far a run came and what its best checkpoint reached."""
    result = run.read_result()
    say(row={name: result[name] for name in ("metrics", "best_step", "steps", "seconds", "tokens_per_second",
                                             "peak_memory_bytes")})  # fmt: skip


PARTS = {"sweep": sweep, "fork": fork, "resume": resume, "shakespeare": shakespeare, "multi30k": multi30k}


def main() -> None:
    """Run the part that is named; a failure is told in words."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PARTS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    end_with_parent()
    until = time.monotonic() + options.seconds
    try:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[options.name](Path(folder), options.device, options.tiny, until)
    except Exception as error:
        say(failed=reason(error))
        raise


if __name__ == "__main__":
    main()
