"""What two runs must agree on, as functions that the ordinary tests and the sabotaged ones share."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lit_transformer.processes.ranks import RankGroup, rank_environments
from lit_transformer.processes.trial import TRAIN, TrialRunner
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.checkpoints import read_checkpoint

EPOCHS = (
    "trainer.max_steps=40", "data.batch_size=30", "trainer.val_every=9", "tracking.log_every=4", "model.dropout=0.1",
    "schedule.warmup_steps=5", "trainer.checkpoint_every=1", "trainer.keep_checkpoints=50",
)  # fmt: skip
"""40 steps over 3 epochs of 15 steps: dropout, warm-up, a ragged last batch, validations between the logged steps."""


def start(runner: TrialRunner, run: RunFolder, *, devices: int = 1, target: str = TRAIN) -> RankGroup:
    """Start a run's ranks; a sabotaged `target` replaces what they execute."""
    if target == TRAIN:
        return runner.start(run.path, devices=devices, log=run.log_file, track=False)
    server = runner._server
    return RankGroup(
        [
            server.start(target, [str(run.path)], environment=ranks, log=run.log_file)
            for ranks in rank_environments(devices)
        ]
    )


def complete(runner: TrialRunner, run: RunFolder, *, devices: int = 1, target: str = TRAIN) -> RunFolder:
    """Train a run to its end."""
    status = start(runner, run, devices=devices, target=target).wait()
    assert status == 0, run.log_file.read_text()
    return run


def differences(one: RunFolder, other: RunFolder) -> list[str]:
    """What two complete runs disagree about, bit for bit: the metric log, and everything that a resume needs."""
    found = []
    if one.metrics_file.read_bytes() != other.metrics_file.read_bytes():
        found.append("metrics.jsonl")
    mine, its = (read_checkpoint(run.last_checkpoint) for run in (one, other))
    found += _unequal("", {k: v for k, v in mine.items() if k != "config"}, its)
    left, right = (read_checkpoint(run.best_checkpoint)["state_dict"] for run in (one, other))
    found += _unequal("best.", left, right)
    results = [run.read_result() for run in (one, other)]
    clocked = ("seconds", "tokens_per_second", "peak_memory_bytes")
    found += _unequal("result.", *({k: v for k, v in result.items() if k not in clocked} for result in results))
    return found


CLOCKED = ("run.log.seconds", "run.log.open", "run.log.busy", "run.log.tokens_per_second")


def _unequal(name: str, mine: Any, its: Any) -> list[str]:
    if name.rstrip(".") in CLOCKED:
        return []
    if isinstance(mine, torch.Tensor):
        return [] if torch.equal(mine, its) else [name]
    if isinstance(mine, dict):
        if mine.keys() - {"config"} != its.keys() - {"config"}:
            return [f"{name}: {mine.keys() ^ its.keys()}"]
        return [text for key in mine if key != "config" for text in _unequal(f"{name}{key}.", mine[key], its[key])]
    if isinstance(mine, list | tuple):
        pairs = enumerate(zip(mine, its, strict=True))
        return [text for index, pair in pairs for text in _unequal(f"{name}{index}.", *pair)]
    return [] if mine == its else [f"{name} {mine} {its}"]


def at_step(whole: RunFolder, step: int, folder: Path) -> RunFolder:
    """A copy of a run as a kill right after the checkpoint of `step` leaves it, and rows that came after it."""
    shutil.copytree(whole.path, folder)
    run = RunFolder(folder)
    run.result_file.unlink()
    if step < 40:
        run.last_checkpoint.unlink()
    for later in range(step + 1, 40):
        (run.checkpoints / f"step-{later}.ckpt").unlink()
    return run


def assert_resumes_exactly(
    runner: TrialRunner, whole: RunFolder, steps: list[int], folder: Path, *, devices: int = 1, target: str = TRAIN
) -> None:
    """Resumed from the checkpoint of each step, a run ends as the uninterrupted one."""
    for step in steps:
        run = at_step(whole, step, folder / f"from-{step}")
        complete(runner, run, devices=devices, target=target)
        assert differences(whole, run) == [], f"resumed from step {step}"
        assert f"step {step}; exact" in run.log_file.read_text()
        shutil.rmtree(run.path)


def wait_until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to come true, with a hang guard."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)
