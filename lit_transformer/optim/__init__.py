"""Optimizers and learning-rate schedules by name."""

from lit_transformer.optim.optimizers import apply_settings, build_optimizer
from lit_transformer.optim.schedules import build_schedule, lr_factor

__all__ = ["apply_settings", "build_optimizer", "build_schedule", "lr_factor"]
