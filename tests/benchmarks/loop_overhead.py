"""What Lightning's loop with our callbacks costs over a bare loop of the same step, alternating in one process."""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from figures import Figure
from lightning.pytorch import Callback

from lit_transformer.config.layers import shell_layer
from lit_transformer.config.load import load_experiment
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.optim import build_optimizer, build_schedule
from lit_transformer.records.checkpoints import CheckpointFolder
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.assemble import assemble
from lit_transformer.training.prepare import prepare
from lit_transformer.training.registry import build_parts, open_prepared
from lit_transformer.training.stopping import StopOnSignal
from lit_transformer.training.watchdog import Watchdog

WARM_STEPS = 20
SHAPES = {
    "demo's smallest cell": (["model.num_heads=1", "model.num_layers=1"], 400),
    "d 256, 4 layers, context 256, batch 8": (
        ["model.num_heads=4", "model.num_layers=4", "model.d_model=256", "model.context_length=256",
         "data.batch_size=8"], 40),
}  # fmt: skip


class Clock(Callback):
    """Notes the time after the warm steps and after the last."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        self.times[trainer.global_step] = time.perf_counter()


def lightning_step(config: ExperimentConfig, prepared: dict[str, object], steps: int) -> float:
    """Seconds of a step in our loop, logging included."""
    with tempfile.TemporaryDirectory() as name:
        run, clock = RunFolder(Path(name)), Clock()
        run.config_file.write_text("")  # what ranks would compare
        made = assemble(
            run, config, open_prepared(config, prepared), CheckpointFolder(run.checkpoints), None, {}, rank=0,
            stop=StopOnSignal(), watchdog=Watchdog(run.path, 0, 1, 1800),
        )  # fmt: skip
        made.trainer.callbacks.append(clock)
        made.fit()
    return (clock.times[steps] - clock.times[WARM_STEPS]) / (steps - WARM_STEPS)


def bare_step(config: ExperimentConfig, prepared: dict[str, object], steps: int) -> float:
    """Seconds of the same step in ten lines."""
    parts = build_parts(config, open_prepared(config, prepared))
    optimizer = build_optimizer(parts.task.network.named_parameters(), config.optimizer)
    schedule = build_schedule(optimizer, config.schedule, parts.total_steps)
    parts.task.network.train()
    start = 0.0
    for done, batch in enumerate(parts.data.train_dataloader(), start=1):
        sums = parts.task.training_sums(batch)
        optimizer.zero_grad()
        (sums["loss"] / batch["window_count"]).backward()
        torch.nn.utils.clip_grad_norm_(parts.task.network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        start = time.perf_counter() if done == WARM_STEPS else start
        if done == steps:
            break
    return (time.perf_counter() - start) / (steps - WARM_STEPS)


def measure(pairs: int = 7) -> list[Figure]:
    """Overhead of both shapes."""
    figures = []
    for name, (settings, steps) in SHAPES.items():
        length = [f"trainer.max_steps={steps}", "trainer.val_every=1000000", "trainer.accelerator=cpu"]
        config = load_experiment("gpt_tiny", [shell_layer([*settings, *length, "trainer.limit_val_batches=1"])]).config
        ready = prepare(config)
        seconds = [
            (lightning_step(ready.config, ready.data, steps), bare_step(ready.config, ready.data, steps))
            for _ in range(pairs)
        ]
        ratio = statistics.median(ours / bare for ours, bare in seconds)
        extra = statistics.median(ours - bare for ours, bare in seconds) * 1000
        step = f"a bare step takes {statistics.median(bare for _, bare in seconds) * 1000:.2f} ms"
        small = name.startswith("demo")
        figures.append(Figure(f"loop over bare, {name}", ratio, "x", None if small else 1.05, note=step))
        figures.append(Figure(f"loop over bare, {name}", extra, "ms a step", 1.5 if small else None, note=step))
    return figures


if __name__ == "__main__":
    for found in measure():
        print(found)
