"""The cloze probe asks every kind of network for the same tokens in the same windows."""

import numpy as np
import pytest
import torch

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import MODEL_CONFIGS, TextModelConfig
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig, TokenizerConfig
from lit_transformer.data.cloze import MOST, cloze_batches
from lit_transformer.data.special_names import needed_specials
from lit_transformer.data.specials import Specials
from lit_transformer.data.tokenizers import encode, specials_of, train_tokenizer

KINDS = [
    ("gpt", "causal_lm"),
    ("gpt", "prefix_lm"),
    ("bert", "masked_lm"),
    ("t5", "span_corruption"),
    ("glm", "blank_infilling"),
]
WINDOW = 12


def experiment(kind: str, objective: str, context_length: int = 2 * WINDOW) -> ExperimentConfig:
    model_class = MODEL_CONFIGS[kind]
    assert issubclass(model_class, TextModelConfig)
    settings = ObjectiveConfig(name=objective)  # type: ignore[arg-type]
    return ExperimentConfig(model=model_class(context_length=context_length), objective=settings)


def stream_of(kind: str, objective: str, text: str) -> tuple[np.ndarray, Specials, int]:
    """A stream of the same tokens for every kind, its special tokens, and the id of its first token of text."""
    names = needed_specials("language_model", kind, objective, True)
    config = TokenizerConfig(kind="bpe", vocab_size=300 + len(names), min_frequency=1)
    tokenizer = train_tokenizer(config, [text], specials=names)
    specials = specials_of(tokenizer)
    stream = [index for part in text.split("fox") for index in [*encode(tokenizer, part), specials.eot]]
    return np.array(stream, dtype=np.uint16), specials, len(names)


def seen(kind: str, batch: dict[str, torch.Tensor], row: int, specials: Specials) -> tuple[list[int], list[int], int]:
    """What stands before and after the place in question, and the answer."""
    one = {name: value[row].tolist() for name, value in batch.items()}
    counted = [index for index, target in enumerate(one["targets"]) if target != -100]
    assert len(counted) == 1
    answer = one["targets"][counted[0]]
    if kind == "gpt":
        assert one.get("prefix_length", counted[0] + 1) == counted[0] + 1
        return one["inputs"][: counted[0] + 1], [], answer
    if kind == "t5":
        hidden = specials.sentinels[0]
        assert one["decoder_inputs"] == [specials.pad, hidden] and counted == [1]
        text, end = one["inputs"][:-1], one["inputs"][-1]
        assert end == specials.end
    elif kind == "bert":
        hidden, text = specials.mask, one["inputs"][1:-1]
        assert one["inputs"][0] == specials.cls and one["inputs"][-1] == specials.sep
        assert one["inputs"][one["target_positions"][0]] == hidden
    else:
        hidden, text = specials.mask, one["inputs"][:-1]
        place = text.index(hidden)
        assert one["inputs"][-1] == specials.sop and one["target_positions"] == [len(text)]
        assert one["positions"] == [*range(1, len(text) + 1), place + 1]
        assert one["block_positions"] == [0] * len(text) + [1] and one["prefix_length"] == len(text)
    assert text.count(hidden) == 1
    return text[: text.index(hidden)], text[text.index(hidden) + 1 :], answer


def plain(ids: list[int], first: int) -> list[int]:
    """Ids counted from the first token of text; a special token is -1."""
    return [index - first if index >= first else -1 for index in ids]


def test_every_kind_is_asked_the_same(prose: str) -> None:
    asked = []
    for kind, objective in KINDS:
        stream, specials, first = stream_of(kind, objective, prose[:12000])
        batches = cloze_batches(experiment(kind, objective), specials, stream, batch_size=50)
        found = [seen(kind, batch, row, specials) for batch in batches for row in range(len(batch["targets"]))]
        asked.append([(plain(before, first), plain(after, first), answer - first) for before, after, answer in found])
        assert all(WINDOW // 2 <= len(before) < WINDOW for before, _, _ in found)
        assert not np.isin([answer for _, _, answer in found], specials.ids).any()
        assert len(found) == MOST
    whole = asked[2]  # BERT
    assert asked[3] == asked[4] == whole
    for gpt in asked[:2]:
        assert [(before, answer) for before, _, answer in gpt] == [(before, answer) for before, _, answer in whole]
    assert all(len(before) + 1 + len(after) == WINDOW for before, after, _ in whole)
    assert len({len(before) for before, _, _ in whole}) == WINDOW // 2  # anywhere in the second half


def test_windows_are_those_of_the_stream() -> None:
    stream = np.arange(10, 10 + 100, dtype=np.uint16)
    (batch,) = cloze_batches(experiment("bert", "masked_lm"), Specials(cls=1, sep=2, mask=3), stream)
    text = batch["inputs"][:, 1:-1].clone()
    text[text == 3] = batch["targets"][:, 0]
    assert text[:, 0].tolist() == [10, 22, 35, 47, 60, 72, 85, 98]  # 8 windows of 12, evenly spaced
    assert (text.diff(dim=1) == 1).all() and text[-1, -1] == 109


def test_special_tokens_are_never_asked_for() -> None:
    stream = np.full(100, 1, dtype=np.uint16)
    stream[8::12] = 7
    (batch,) = cloze_batches(experiment("gpt", "causal_lm"), Specials(eot=1), stream)
    assert set(batch["targets"].unique().tolist()) == {-100, 7}
    with pytest.raises(UserError, match=r"objective.cloze: the validation text is too short(.|\n)*fix "):
        cloze_batches(experiment("gpt", "causal_lm"), Specials(eot=7), np.full(100, 7))


@pytest.mark.parametrize("length", [0, 1])
def test_a_text_without_a_question(length: int) -> None:
    with pytest.raises(UserError, match=rf"too short for a question: {length} tokens"):
        cloze_batches(experiment("gpt", "causal_lm"), Specials(), np.zeros(length, dtype=np.uint16))


def test_a_short_text_asks_one() -> None:
    (batch,) = cloze_batches(experiment("gpt", "causal_lm"), Specials(), np.array([5, 6, 7], dtype=np.uint16))
    assert batch["targets"].shape == (1, 3) and int((batch["targets"] != -100).sum()) == 1


@pytest.mark.parametrize(
    ("kind", "objective", "missing"),
    [
        ("bert", "masked_lm", r"\[CLS\], \[SEP\], \[MASK\]"),
        ("t5", "span_corruption", "<pad>, </s>"),
        ("glm", "blank_infilling", r"\[MASK\], <sop>"),
    ],
)
def test_a_tokenizer_without_what_is_needed(kind: str, objective: str, missing: str) -> None:
    with pytest.raises(UserError, match=rf"objective.cloze with {objective}: the tokenizer has no {missing}"):
        cloze_batches(experiment(kind, objective), Specials(), np.arange(100))
    if kind == "t5":
        with pytest.raises(UserError, match="no <extra_id_0>"):
            cloze_batches(experiment(kind, objective), Specials(pad=0, end=1), np.arange(100))
