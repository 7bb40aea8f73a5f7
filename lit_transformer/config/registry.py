"""What each task logs and reads, torch-free, so that a sweep's metric is checked before the first trial."""

SPLITS = ("train", "val", "test")

TASK_METRICS: dict[str, tuple[str, ...]] = {
    "language_model": ("loss", "perplexity", "bits_per_byte", "accuracy"),
}
"""`task` -> the metrics it measures, each logged as train/..., val/... and test/..."""

STEP_METRICS = ("lr", "gradient_norm")
"""Logged beside them at every row."""

TASK_MODELS: dict[str, tuple[str, ...]] = {"language_model": ("gpt",)}
"""`task` -> the kinds of model it trains."""

TASK_OBJECTIVES: dict[str, tuple[str, ...]] = {"language_model": ("causal_lm",)}
"""`task` -> the objectives it trains with."""


def metric_names(task: str) -> list[str]:
    """Every name that a run of `task` writes into metrics.jsonl."""
    return [f"{split}/{name}" for split in ("train", "val") for name in TASK_METRICS[task]] + list(STEP_METRICS)
