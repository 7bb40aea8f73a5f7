"""Kills and signals at random moments of real runs, and what they hit."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lit_transformer.processes.progress_file import Phase, Progress, progress_path, read_progress
from lit_transformer.processes.ranks import RankGroup
from lit_transformer.records.run_folder import RunFolder

MOMENTS = ("start-up", "step", "validation", "checkpoint write", "epoch boundary")
STEPS_PER_EPOCH = 15
LONG = (
    "trainer.max_steps=360", "data.batch_size=30", "trainer.val_every=11", "tracking.log_every=4", "model.dropout=0.1",
    "schedule.warmup_steps=50", "trainer.checkpoint_every=7",
)  # fmt: skip
"""24 epochs of 15 steps, ragged; a validation of every 11th step, a checkpoint of every 7th."""
PHASES = {
    "step": (Phase.TRAINING, Phase.REDUCING, Phase.LOADING),
    "validation": (Phase.VALIDATING,),
    "checkpoint write": (Phase.SAVING,),
}


def count(default: int) -> int:
    """How many kills or signals: `make chaos` asks for more."""
    return int(os.environ.get("CHAOS", default))


def now(run: RunFolder, rank: int = 0) -> Progress | None:
    """What a rank does."""
    return read_progress(progress_path(run.path, rank))


def moment(progress: Progress | None, before: int) -> str:
    """The name of what a rank did when it was killed; `before` counts the marks of the attempt before."""
    if progress is None or progress.phase == Phase.STARTING:
        return "start-up"
    if progress.phase in PHASES["step"] and progress.step % STEPS_PER_EPOCH == 0:
        return "epoch boundary"
    return next((name for name, phases in PHASES.items() if progress.phase in phases), "end")


class Killer:
    """Kills ranks at random moments of a wanted kind, and counts what was hit."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.hits: Counter[str] = Counter()

    def next_kind(self) -> str:
        """The kind of moment that was hit least."""
        fewest = min(self.hits[name] for name in MOMENTS)
        return self._random.choice([name for name in MOMENTS if self.hits[name] == fewest])

    def kill(self, run: RunFolder, group: RankGroup, kind: str, *, devices: int = 1) -> bool:
        """Wait for a moment of this kind and kill a random rank with SIGKILL; False where the run ended first."""
        rank = self._random.randrange(devices)
        child = group.children[rank]
        first = None
        target = self._random.randint(1, 12)
        wait = self._random.random() * (0.3 if kind == "start-up" else 0.004)
        while group.poll() is None:
            time.sleep(0.0003)  # the ranks need the core
            seen = now(run, rank)
            if seen is None or seen.pid != child.pid:  # that of the attempt before
                if kind == "start-up":
                    break
                continue
            first = seen.step if first is None and seen.phase != Phase.STARTING else first
            if kind == "start-up" and seen.phase == Phase.STARTING:
                break
            if first is not None and seen.step >= first + target % 12 and moment(seen, 0) == kind:
                break
        if group.poll() is not None:
            return False
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL) if child.poll() is None else None
        group.wait()
        last = now(run, rank)
        hit = "start-up" if last is None or last.pid != child.pid else moment(last, 0)
        self.hits[hit] += 1
        return True


def kill_until(start: Callable[[], RankGroup], run: RunFolder, killer: Killer, kills: int, *, devices: int = 1) -> int:
    """Start a run, kill it, start it again, until it was killed so often or is complete; how often it was."""
    done = 0
    while done < kills:
        group = start()
        if not killer.kill(run, group, killer.next_kind(), devices=devices):
            assert group.wait() == 0, Path(run.log_file).read_text()
            break
        done += 1
    return done
