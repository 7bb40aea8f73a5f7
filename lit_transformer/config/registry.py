"""What each task logs and reads, torch-free, so that a sweep's metric is checked before the first trial."""

SPLITS = ("train", "val", "test")

EVALUATION_ONLY = ("accuracy",)
"""Not measured while training: an argmax over the vocabulary costs a tenth of a small model's step."""

TASK_METRICS: dict[str, tuple[str, ...]] = {
    "language_model": ("loss", "perplexity", "bits_per_byte", "accuracy"),
}
"""`task` -> the metrics it measures, each logged as val/... and test/..., and but for EVALUATION_ONLY as train/..."""

STEP_METRICS = ("lr", "gradient_norm")
"""Logged beside them at every row."""

TASK_MODELS: dict[str, tuple[str, ...]] = {"language_model": ("gpt",)}
"""`task` -> the kinds of model it trains."""

TASK_OBJECTIVES: dict[str, tuple[str, ...]] = {"language_model": ("causal_lm",)}
"""`task` -> the objectives it trains with."""


def metric_names(task: str) -> list[str]:
    """Every name that a run of `task` writes into metrics.jsonl."""
    names = TASK_METRICS[task]
    train = [f"train/{name}" for name in names if name not in EVALUATION_ONLY]
    return [*train, *(f"val/{name}" for name in names), *STEP_METRICS]
