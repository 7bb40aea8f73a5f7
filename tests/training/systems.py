"""A tiny experiment of every task and system, with data of its own: 5 steps an epoch, the last of them ragged."""

import json
import random
from pathlib import Path

WORDS = ("red", "blue", "old", "new", "cat", "dog", "sees", "finds", "a", "the", "and", "not", "good", "bad", "very")

ROWS = (
    "data.source=jsonl", "data.test_fraction=0", "data.tokenizer.kind=words", "data.tokenizer.vocab_size=null",
    "data.tokenizer.min_frequency=1", "data.batch_size=10", "model.context_length=32",
)  # fmt: skip
TEXT = ("data.batch_size=10", "model.context_length=24", "data.max_bytes=1230")
DECODED = ("decoding.val_rows=6", "decoding.beam_size=2", "decoding.max_length=8")

SYSTEMS: dict[str, tuple[str, ...]] = {
    "translation": ("task=translation", "model.kind=encoder_decoder", *ROWS, *DECODED, "data.max_tokens=64",
                    "objective.label_smoothing=0.1"),
    "text_to_text": ("task=text_to_text", "model.kind=t5", *ROWS, *DECODED),
    "bert_classifier": ("task=classification", "model.kind=bert", *ROWS),
    "gpt_classifier": ("task=classification", "model.kind=gpt", *ROWS),
    "gpt_as_text": ("task=classification", "model.kind=gpt", "objective.name=text", *ROWS, "data.max_tokens=104"),
    "gpt_choices_as_text": ("task=multiple_choice", "model.kind=gpt", "objective.name=text", "data.label_key=right",
                            "objective.template={context}", *ROWS),
    "t5_as_text": ("task=classification", "model.kind=t5", "objective.name=text", *ROWS),
    # with small weights the first tokens of two choices hardly differ, and the gradient is mostly rounding
    "bert_choice": ("task=multiple_choice", "model.kind=bert", "data.label_key=right", *ROWS, "model.init_std=0.3"),
    "gpt_choice": ("task=multiple_choice", "model.kind=gpt", "data.label_key=right", *ROWS),
    "bert": ("model.kind=bert", *TEXT),
    "bert_next_sentence": ("model.kind=bert", "objective.next_sentence=true", *TEXT, "data.max_bytes=1180"),
    "t5": ("model.kind=t5", *TEXT, "data.max_bytes=1500"),
    "glm": ("model.kind=glm", "objective.blanks=mixed", *TEXT),
    "prefix_lm": ("model.kind=gpt", "objective.name=prefix_lm", *TEXT, "data.max_bytes=1350"),
}  # fmt: skip
"""Name -> settings over the tiny ones; those of rows also need their files."""


def write_rows(folder: Path) -> tuple[str, ...]:
    """Write rows that every task finds its fields in; the settings that name the files."""
    pick = random.Random(0)

    def words(low: int, high: int) -> str:
        return " ".join(pick.choices(WORDS, k=pick.randint(low, high)))

    def row() -> dict[str, object]:
        # where classes balance, gradients of biases cancel, and rounding becomes a larger share of them
        source, label = words(1, 9), pick.choice(("bad", "good", "good", "good", "good"))
        return {
            "source": source, "target": " ".join(source.split()[::-1]), "text": words(2, 12), "label": label,
            "context": words(2, 8), "choice1": words(1, 4), "choice2": words(1, 4), "right": pick.randrange(2),
        }  # fmt: skip

    for name, count in (("train", 41), ("val", 13)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row()) + "\n" for _ in range(count)))
    return f"data.path={folder / 'train.jsonl'}", f"data.val_path={folder / 'val.jsonl'}"
