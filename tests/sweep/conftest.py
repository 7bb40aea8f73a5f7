"""A tiny data set, a tiny experiment and sweeps over it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

EXPERIMENT = """
task: language_model
model: {{kind: gpt, num_layers: 1, num_heads: 1, d_model: 16, context_length: 16}}
data: {{source: text, path: {text}, batch_size: 4, tokenizer: {{kind: characters}}}}
schedule: {{warmup_steps: 1}}
trainer: {{max_steps: 6, val_every: 3, limit_val_batches: 2}}
tracking: {{wandb: "off", log_every: 2}}
"""
SWEEP = """
method: grid
metric: {{name: val/loss, goal: minimize}}
parameters:
  experiment: {{value: {experiment}}}
  {parameters}
"""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GPT that trains in a second on a text of its own; prepared data go to the test's folder."""
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog and sleeps. " * 80, encoding="utf-8")
    path = tmp_path / "tiny.yaml"
    path.write_text(EXPERIMENT.format(text=text), encoding="utf-8")
    monkeypatch.setenv("LIT_TRANSFORMER_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_MODE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    return path


@pytest.fixture
def write_sweep(tmp_path: Path, experiment: Path) -> Callable[..., Path]:
    """Writes a sweep file over the tiny experiment with these lines under `parameters`."""

    def write(*parameters: str, name: str = "sweep.yaml") -> Path:
        path = tmp_path / name
        path.write_text(SWEEP.format(experiment=experiment, parameters="\n  ".join(parameters)), encoding="utf-8")
        return path

    return write
