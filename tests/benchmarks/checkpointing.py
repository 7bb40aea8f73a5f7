"""What checkpoints cost: their share of training, a save beside a plain write of as many bytes, finding a good one."""

import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from figures import Figure
from loop_overhead import SHAPES

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_experiment
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.assemble import assemble
from lit_transformer.training.checkpoints import read_checkpoint
from lit_transformer.training.prepare import prepare
from lit_transformer.training.registry import open_prepared
from lit_transformer.training.step_end import StepEnd
from lit_transformer.training.stopping import StopOnSignal
from lit_transformer.training.watchdog import Watchdog

EVERY = 100
SAVES = 15
LARGE = 64 * 2**20
"""Floats of a checkpoint of 256 MB."""


def config_of(settings: list[str]) -> ExperimentConfig:
    """gpt_tiny in one of the shapes, saved every 100 steps."""
    length = [f"trainer.max_steps={EVERY}", f"trainer.checkpoint_every={EVERY}", "trainer.accelerator=cpu",
              "trainer.val_every=1000000", "trainer.limit_val_batches=1"]  # fmt: skip
    return load_experiment("gpt_tiny", [shell_layer([*settings, *length])]).config


def share_of_training(settings: list[str]) -> tuple[float, float]:
    """Time in a save over that of the 100 steps before it, and seconds of the save."""
    ready = prepare(config_of(settings))
    saves: list[float] = []
    save = StepEnd._save

    def timed(self, trainer) -> None:  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        save(self, trainer)
        saves.append(time.perf_counter() - start)

    StepEnd._save = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory(dir=".") as name:  # the disk that runs are on, not $TMPDIR
            run = RunFolder(Path(name))
            run.config_file.write_text("")
            made = assemble(
                run, ready.config, open_prepared(ready.config, ready.data), CheckpointFolder(run.checkpoints), None,
                {}, rank=0, stop=StopOnSignal(), watchdog=Watchdog(run.path, 0, 1, 1800),
            )  # fmt: skip
            made.fit()
            for _ in range(SAVES):  # alone, without the training's caches in the way of the disk
                made.end._save(made.trainer)
            seconds = made.log.seconds - sum(saves[:1])
    finally:
        StepEnd._save = save  # type: ignore[method-assign]
    return statistics.median(saves) / seconds, statistics.median(saves)


def save_over_plain_write() -> tuple[float, float, float]:
    """A save of 256 MB over a write and fsync of the same bytes, alternating; and the medians of both in seconds."""
    state = {"state_dict": {f"w{i}": torch.randn(LARGE // 16) for i in range(16)}}
    pairs = []
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = CheckpointFolder(Path(name) / "checkpoints")
        plain = Path(name) / "plain"
        for step in range(SAVES):
            start = time.perf_counter()
            folder.save("last.ckpt", lambda file: torch.save(state, file), step=step, resumable=True, facts={})
            ours = time.perf_counter() - start
            data = folder.path.joinpath("last.ckpt").read_bytes()
            start = time.perf_counter()
            with plain.open("wb", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())
            pairs.append((ours, time.perf_counter() - start))
            plain.unlink()
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    return ratio, statistics.median(ours for ours, _ in pairs), statistics.median(bare for _, bare in pairs)


def seconds_to_fall_back() -> float:
    """From a damaged last.ckpt of 100 MB to the loaded one before it."""
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = CheckpointFolder(Path(name))
        for step in (1, 2):
            state = {"state_dict": {f"w{i}": torch.randn(25 * 2**20 // 16) for i in range(16)}}
            folder.save(
                "last.ckpt", lambda file, state=state: torch.save(state, file), step=step, resumable=True, facts={}
            )
        with (folder.path / "last.ckpt").open("r+b") as file:
            file.seek(50_000_000)
            byte = file.read(1)[0]
            file.seek(50_000_000)
            file.write(bytes([byte ^ 4]))
        start = time.perf_counter()
        found = CheckpointFolder(folder.path).newest(lambda text: None)
        assert found is not None and found.entry.step == 1
        read_checkpoint(found.path)
        return time.perf_counter() - start


def measure() -> list[Figure]:
    """All of it."""
    figures = []
    for name, (settings, _) in SHAPES.items():
        share, save = share_of_training(settings)
        note = f"a save takes {save * 1000:.1f} ms"
        figures.append(Figure(f"checkpoint every {EVERY} steps, {name}", 100 * share, "% of training", 3, note=note))
    ratio, ours, bare = save_over_plain_write()
    note = f"medians {ours:.3f} and {bare:.3f} s"
    figures.append(Figure("a save of 256 MB over writing its bytes", ratio, "x", 1.5, note=note))
    figures.append(Figure("from a damaged checkpoint of 100 MB to the one before it", seconds_to_fall_back(), "s", 1))
    return figures


if __name__ == "__main__":
    for found in measure():
        print(found)
