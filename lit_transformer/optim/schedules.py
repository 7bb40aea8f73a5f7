"""Learning rate over the steps of a run."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lit_transformer.config.schema import ScheduleConfig


def lr_factor(step: int, total_steps: int, config: ScheduleConfig) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    Warm-up is linear: step i of w has (i + 1) / w, so that no step is wasted at 0 and the last of the w is the peak.
    Linear and cosine then fall to min_lr_ratio at the run's last step; inverse_sqrt falls as 1 / sqrt(step) for ever
    (Vaswani et al. 2017, section 5.3, scaled to peak at 1).
    """
    number, warmup = step + 1, max(1, config.warmup_steps)
    if number <= warmup:
        return number / warmup
    if config.name == "constant":
        return 1.0
    if config.name == "inverse_sqrt":
        return math.sqrt(warmup / number)
    progress = min(1.0, (number - warmup) / max(1, total_steps - warmup))
    share = 1 - progress if config.name == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return config.min_lr_ratio + (1 - config.min_lr_ratio) * share


def build_schedule(optimizer: Optimizer, config: ScheduleConfig, total_steps: int) -> LambdaLR:
    """Scheduler to be stepped once after each optimizer step; its state is restorable."""
    return LambdaLR(optimizer, lambda step: lr_factor(step, total_steps, config))
