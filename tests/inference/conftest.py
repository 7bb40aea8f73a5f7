"""Runs of every kind, each trained once for all tests of this process, and the shell."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inference.runs import TABLE, WHOLE_WORDS, Made, ask, films, items, make_run, opened, pairs, table

__all__ = ["ask"]

Runs = Callable[[str], Made]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_text: Path) -> dict[str, list[str]]:
    """Name of a run -> its settings."""
    folder = tmp_path_factory.mktemp("tables")
    words = [*TABLE, *WHOLE_WORDS, f"data.path={table(folder / 'pairs.tsv', pairs())}"]
    filmed = [*TABLE, f"data.path={table(folder / 'films.tsv', films())}", "data.label_key='3'"]
    chosen = [
        "task=multiple_choice", "data.source=tsv", f"data.path={table(folder / 'items.tsv', items())}",
        "data.context_key='1'", "data.choice_keys='2, 3'", "data.label_key='4'", "model.context_length=16",
    ]  # fmt: skip
    text = ["data.source=text", f"data.path={tiny_text}", "model.context_length=32"]
    classes = ["task=classification", *filmed, "model.context_length=16"]
    by_text = ["objective.name=text", "objective.template='{1} is'", "model.kind=gpt"]
    return {
        "translation": ["task=translation", "model.kind=encoder_decoder", "model.context_length=12", *words],
        "answers": ["task=text_to_text", "model.kind=t5", "model.context_length=12", "data.prefix='small: '", *words],
        "gpt": [*text, "model.kind=gpt", "data.tokenizer.kind=characters"],
        "gpt words": [*text, "model.kind=gpt", *WHOLE_WORDS],
        "gpt prefix": [*text, "model.kind=gpt", *WHOLE_WORDS, "objective.name=prefix_lm", *TELLING],
        **{kind: [*text, f"model.kind={kind}", *WHOLE_WORDS] for kind in ("bert", "t5", "glm")},
        "bert bpe": [*text, "model.kind=bert", "data.tokenizer.vocab_size=300"],
        "bert wordpiece": [*text, "model.kind=bert", "data.tokenizer.kind=wordpiece", "data.tokenizer.vocab_size=60"],
        "bert characters": [*text, "model.kind=bert", "data.tokenizer.kind=characters"],
        "bert classes": [*classes, *WHOLE_WORDS, "model.kind=bert"],
        "gpt classes": [*classes, *WHOLE_WORDS, "model.kind=gpt"],
        "pairs": [*classes, *WHOLE_WORDS, "model.kind=bert", "data.pair_key='2'"],
        "gpt text": [*classes, *WHOLE_WORDS, *by_text],
        "t5 text": [*classes, *WHOLE_WORDS, *by_text, "model.kind=t5"],
        "choices": [*chosen, *WHOLE_WORDS, "model.kind=gpt"],
        "bert choices": [*chosen, *WHOLE_WORDS, "model.kind=bert"],
        "choices text": [
            *chosen,
            *WHOLE_WORDS,
            "objective.name=text",
            "objective.template='{1} and'",
            "model.kind=gpt",
        ],
    }


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, list[str]]) -> Runs:
    """A run by its name, made when it is first asked for."""
    made: dict[str, Made] = {}

    def get(name: str) -> Made:
        if name not in made:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_")) / "run"
            made[name] = opened(make_run(folder, settings[name], steps=STEPS.get(name, 60)))
        return made[name]

    return get


TELLING = ["model.num_layers=2", "model.init_std=0.5"]
"""Makes the last token's logits tell a mask: in one layer it sees all anyway, and training here unlearns looking."""

STEPS = {"t5": 200, "glm": 200, "translation": 150, "choices": 150, "gpt text": 150, "gpt prefix": 5}
