"""What two runs must agree on, as functions that the ordinary tests and the sabotaged ones share."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_transformer.processes.progress_file import Phase, progress_path, read_progress
from lit_transformer.processes.ranks import RankGroup, rank_environments
from lit_transformer.processes.trial import TRAIN, TrialRunner
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.checkpoints import read_checkpoint
from tests.waiting import wait_for

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
    last = run.read_result()["steps"]
    run.result_file.unlink()
    if step < last:
        run.last_checkpoint.unlink()
    for later in range(step + 1, last):
        (run.checkpoints / f"step-{later}.ckpt").unlink(missing_ok=True)
    return run


def assert_resumes_exactly(
    runner: TrialRunner, whole: RunFolder, steps: list[int], folder: Path, *, devices: int = 1, target: str = TRAIN
) -> None:
    """Resumed from the checkpoint of each step, a run ends as the uninterrupted one."""
    for step in steps:
        run = at_step(whole, step, folder / f"from-{step}")
        # when it saves again changes no number, and each save waits for the disk
        frozen = run.config_file.read_text()
        run.config_file.write_text(frozen.replace("checkpoint_every: 1\n", "checkpoint_every: 1000\n"))
        complete(runner, run, devices=devices, target=target)
        found = differences(whole, run)
        assert not found, f"resumed from step {step}: {found}"
        assert f"step {step}; exact" in run.log_file.read_text()
        shutil.rmtree(run.path)


def assert_damage_is_found(runner: TrialRunner, whole: RunFolder, folder: Path, *, target: str = TRAIN) -> None:
    """A flipped bit in a weight of last.ckpt: the run goes on from the checkpoint before, and ends as ever."""
    run = at_step(whole, 20, folder)
    newest = run.checkpoints / "step-20.ckpt"
    data = bytearray(newest.read_bytes())
    weight = read_checkpoint(newest)["state_dict"]["network.token_embedding.weight"]
    data[data.index(weight.numpy().tobytes()) + 3] ^= 0x10  # in an exponent
    newest.write_bytes(data)
    complete(runner, run, target=target)
    said = run.log_file.read_text()
    assert "step-20.ckpt of step 20 is passed over: its SHA-256 differs" in said and "step-19.ckpt" in said, (
        f"a flipped bit was not found: {said[-300:]}"
    )
    assert differences(whole, run) == []


RANKS = ("trainer.max_steps=30", "data.batch_size=60", "trainer.val_every=10", "model.dropout=0")
"""Three epochs of 10 steps, the last of each ragged."""


def assert_ranks_agree(
    runner: TrialRunner,
    new_run: Callable[..., RunFolder],
    name: str,
    *,
    settings: Sequence[str] = RANKS,
    tolerance: float = 1e-6,
    target: str = TRAIN,
) -> None:
    """One rank, two ranks and accumulation of 2 agree over a few epochs with ragged last batches.

    Two ranks and accumulation bit for bit; one rank, whose sums have another order, within the relative tolerance.
    """
    runs = {
        kind: complete(
            runner, new_run(*settings, *further, f"trainer.devices={devices}", name=f"{name}-{kind}"),
            devices=devices, target=target,
        )
        for kind, further, devices in (("one", (), 1), ("both", ("trainer.accumulate=2",), 1), ("two", (), 2))
    }  # fmt: skip
    weights = {kind: read_checkpoint(run.last_checkpoint)["state_dict"] for kind, run in runs.items()}
    rows = {kind: run.read_metrics() for kind, run in runs.items()}
    for kind in ("both", "two"):
        for ours, theirs in zip(rows["one"], rows[kind], strict=True):
            assert ours.keys() == theirs.keys()
            for metric, value in ours.items():
                assert theirs[metric] == pytest.approx(value, rel=tolerance), (
                    f"{metric} of {kind} at step {ours['step']}"
                )
        far = {key: _distance(weights["one"][key], its, key) for key, its in weights[kind].items()}
        assert max(far.values()) <= tolerance, f"weights of {kind} differ by {far}"
    assert all(torch.equal(weights["both"][key], its) for key, its in weights["two"].items()), "weights of two ranks"


def _distance(mine: torch.Tensor, its: torch.Tensor, name: str) -> float:
    """Relative distance, but for the bias of the keys: no softmax sees it, and Adam makes steps of its rounding."""
    if name.endswith("attention.input.bias"):
        width = len(mine) // 3
        mine, its = (torch.cat([bias[:width], bias[2 * width :]]) for bias in (mine, its))
    return float((mine - its).norm() / mine.norm()) if mine.norm() else float(its.norm())


SLOW = ("model.d_model=256", "model.num_layers=6", "model.context_length=128", "data.batch_size=64",
        "trainer.max_steps=1000", "trainer.checkpoint_every=1", "trainer.val_every=1000")  # fmt: skip
"""Steps of a second or more."""


def assert_second_signal_ends_at_once(
    runner: TrialRunner, new_run: Callable[..., RunFolder], name: str, *, target: str = TRAIN
) -> None:
    """Two signals inside one step: the process ends before that step does, and the checkpoint before it is whole."""
    run = new_run(*SLOW, name=name)
    group = start(runner, run, target=target)
    path = progress_path(run.path, 0)

    def training() -> int | None:
        seen = read_progress(path)
        return seen.step if seen and seen.step >= 1 and seen.phase == Phase.TRAINING else None

    wait_for(training, 120)
    step = training()
    for _ in range(2):
        os.kill(group.pids[0], signal.SIGTERM)
        time.sleep(0.05)
    status, last = group.wait(), read_progress(path)
    found = CheckpointFolder(run.checkpoints).newest(print)
    assert last is not None and found is not None
    in_step = last.phase in (Phase.TRAINING, Phase.REDUCING)
    ended = (status, last.step, in_step, found.entry.step)
    assert ended == (143, step, True, step), f"ended at once? {ended} in {last.phase.name}"
