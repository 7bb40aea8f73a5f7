"""What goes with what, torch-free, so that a sweep's metric and its cells are checked before the first trial."""

from collections.abc import Collection

SPLITS = ("train", "val", "test")

CLOZE = ("cloze_loss", "cloze_accuracy")
"""Measured at validation where objective.cloze asks for it."""

NEXT_SENTENCE = ("next_sentence_loss", "next_sentence_accuracy")
"""Measured at validation and in a test where objective.next_sentence asks for it."""

ASKED_FOR: dict[str, tuple[str, ...]] = {"cloze": CLOZE, "next_sentence": NEXT_SENTENCE}
"""Setting of `objective` -> the metrics that are there where it is true alone."""

EVALUATION_ONLY = ("accuracy", "f1", "matthews", "bleu", "chrf", "exact_match", *CLOZE, *NEXT_SENTENCE, "mean_iou",
                   "pixel_accuracy", "dice")  # fmt: skip
"""Not measured while training: an argmax over the vocabulary costs a tenth of a small model's step, decoding more."""

TASK_METRICS: dict[str, tuple[str, ...]] = {
    "language_model": ("loss", "perplexity", "bits_per_byte", "accuracy", *CLOZE, *NEXT_SENTENCE),
    "translation": ("loss", "perplexity", "accuracy", "bleu", "chrf", "exact_match"),
    "text_to_text": ("loss", "perplexity", "accuracy", "exact_match", "f1", "bleu"),
    "classification": ("loss", "accuracy", "f1", "matthews"),
    "multiple_choice": ("loss", "accuracy"),
    "segmentation": ("loss", "mean_iou", "pixel_accuracy", "dice"),
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
    "segmentation": {"segmenter": ("pixels",)},
}
"""`task` -> the kinds of model it trains -> the objectives it trains them with, the default one first."""


PAIR_TASKS = ("translation", "text_to_text")
"""Tasks whose rows are a source and a target."""

ROW_TASKS = (*PAIR_TASKS, "classification", "multiple_choice")
"""Tasks whose data are rows of text; a language model's are blocks of one long text."""

IMAGE_TASKS = ("segmentation",)
"""Tasks whose data are images."""


NAMED_SOURCES = ("tsv", "jsonl", "hub")
"""Values of data.source whose fields the settings name; the rows of the others have the columns' own names."""


def default_objective(task: str, model_kind: str) -> str | None:
    """The objective of a task and a kind of model where none is named; None where they do not go together."""
    allowed = TASK_OBJECTIVES.get(task, {}).get(model_kind)
    return allowed[0] if allowed else None


def metric_names(task: str, asked: Collection[str] = ()) -> list[str]:
    """Every name that a run of `task` writes into metrics.jsonl; asked: the settings of ASKED_FOR that are true."""
    missing = {name for setting, names in ASKED_FOR.items() if setting not in asked for name in names}
    names = [name for name in TASK_METRICS[task] if name not in missing]
    train = [f"train/{name}" for name in names if name not in EVALUATION_ONLY]
    return [*train, *(f"val/{name}" for name in names), *STEP_METRICS]


def is_metric(name: str, task: str, asked: Collection[str] = ()) -> bool:
    """Whether a run of `task` may write a metric: one of `metric_names`, or that of a class, known with the data."""
    return name in metric_names(task, asked) or (task in IMAGE_TASKS and name.startswith("val/iou/"))
