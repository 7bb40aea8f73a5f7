"""What goes with what, torch-free, so that a sweep's metric and its cells are checked before the first trial."""

SPLITS = ("train", "val", "test")

CLOZE = ("cloze_loss", "cloze_accuracy")
"""Measured at validation where objective.cloze asks for it."""

EVALUATION_ONLY = ("accuracy", "f1", "matthews", "bleu", "chrf", "exact_match", *CLOZE)
"""Not measured while training: an argmax over the vocabulary costs a tenth of a small model's step, decoding more."""

TASK_METRICS: dict[str, tuple[str, ...]] = {
    "language_model": ("loss", "perplexity", "bits_per_byte", "accuracy", *CLOZE),
    "translation": ("loss", "perplexity", "accuracy", "bleu", "chrf", "exact_match"),
    "text_to_text": ("loss", "perplexity", "accuracy", "exact_match", "f1", "bleu"),
    "classification": ("loss", "accuracy", "f1", "matthews"),
    "multiple_choice": ("loss", "accuracy"),
}
"""`task` -> the metrics it measures, each logged as val/... and test/..., and but for EVALUATION_ONLY as train/..."""

STEP_METRICS = ("lr", "gradient_norm")
"""Logged beside them at every row."""

TASK_OBJECTIVES: dict[str, dict[str, tuple[str, ...]]] = {
    "language_model": {
        "gpt": ("causal_lm", "prefix_lm"),
        "bert": ("masked_lm",),
        "glm": ("blank_infilling",),
        "t5": ("span_corruption",),
    },
    "translation": {"encoder_decoder": ("translation",), "t5": ("translation",)},
    "text_to_text": {"t5": ("translation",), "encoder_decoder": ("translation",)},
    "classification": {"bert": ("label",), "gpt": ("label", "text"), "t5": ("text",)},
    "multiple_choice": {"gpt": ("label", "text"), "bert": ("label",)},
}
"""`task` -> the kinds of model it trains -> the objectives it trains them with, the default one first."""


PAIR_TASKS = ("translation", "text_to_text")
"""Tasks of source and target."""

ROW_TASKS = (*PAIR_TASKS, "classification", "multiple_choice")
"""Tasks whose data are rows; those of the others are blocks of one long text."""


NAMED_SOURCES = ("tsv", "jsonl", "hub")
"""Values of data.source whose fields the settings name; the rows of the others have the columns' own names."""


def default_objective(task: str, model_kind: str) -> str | None:
    """The objective of a task and a kind of model where none is named; None where they do not go together."""
    allowed = TASK_OBJECTIVES.get(task, {}).get(model_kind)
    return allowed[0] if allowed else None


def metric_names(task: str, *, cloze: bool = False) -> list[str]:
    """Every name that a run of `task` writes into metrics.jsonl; cloze: with objective.cloze."""
    names = [name for name in TASK_METRICS[task] if cloze or name not in CLOZE]
    train = [f"train/{name}" for name in names if name not in EVALUATION_ONLY]
    return [*train, *(f"val/{name}" for name in names), *STEP_METRICS]
