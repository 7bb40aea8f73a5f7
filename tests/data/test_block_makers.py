"""Batches of blocks: keys, shapes, counts and inverses of every objective, alone, in a batch and half empty."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models

from lit_transformer.config.errors import UserError
from lit_transformer.config.models import MODEL_CONFIGS, TextModelConfig
from lit_transformer.config.schema import ExperimentConfig, ObjectiveConfig, TokenizerConfig
from lit_transformer.data.block_makers import BLOCK_MAKERS, BlockMaker, build_block_maker
from lit_transformer.data.randomness import RowGenerators
from lit_transformer.data.special_names import needed_specials
from lit_transformer.data.tokenizers import encode, specials_of, train_tokenizer
from lit_transformer.objectives.blank_infilling import BlankInfilling, invert_blank_infilling
from lit_transformer.objectives.causal_lm import CausalLM, invert_causal_lm
from lit_transformer.objectives.masked_lm import MaskedLM, invert_masked_lm
from lit_transformer.objectives.prefix_lm import PrefixLM, invert_prefix_lm
from lit_transformer.objectives.span_corruption import SpanCorruption, invert_span_corruption

KIND = {
    "causal_lm": "gpt",
    "prefix_lm": "gpt",
    "masked_lm": "bert",
    "span_corruption": "t5",
    "blank_infilling": "glm",
}
Settings = dict[str, object]
CASES: list[Settings] = [
    {"name": "causal_lm"},
    {"name": "prefix_lm"},
    {"name": "masked_lm"},
    {"name": "masked_lm", "whole_words": True, "mask_rate": 0.3},
    {"name": "masked_lm", "next_sentence": True},
    {"name": "span_corruption"},
    {"name": "span_corruption", "mask_rate": 0.6, "mean_span": 2.0},
    {"name": "blank_infilling"},
    {"name": "blank_infilling", "blanks": "sentences", "mask_rate": 0.4},
    {"name": "blank_infilling", "blanks": "document"},
    {"name": "blank_infilling", "blanks": "mixed"},
]
KEYS = {
    "causal_lm": {"inputs", "targets"},
    "prefix_lm": {"inputs", "targets", "prefix_length"},
    "masked_lm": {"inputs", "targets", "target_positions"},
    "span_corruption": {"inputs", "decoder_inputs", "targets"},
    "blank_infilling": {
        "inputs",
        "targets",
        "target_positions",
        "positions",
        "block_positions",
        "prefix_length",
    },
}
every_case = pytest.mark.parametrize("settings", CASES, ids=lambda case: "-".join(map(str, case.values())))


@dataclasses.dataclass
class Made:
    maker: BlockMaker
    tokenizer: Tokenizer
    stream: np.ndarray

    def blocks(self, *lengths: int, first: int = 0) -> np.ndarray:
        """Blocks of these lengths out of the stream, one after another; 0 is a row of padding."""
        rows = np.full((len(lengths), self.maker.block_length), -100)
        for index, length in enumerate(lengths):
            start = first + index * self.maker.stride
            rows[index, :length] = self.stream[start : start + length]
        return rows


@pytest.fixture
def make(tmp_path: Path, prose: str) -> Callable[..., Made]:
    def made(settings: Settings, context_length: int = 32) -> Made:
        name = str(settings["name"])
        documents = [f"{word} quick fox. Does it jump? The lazy dog does!\n" * 3 for word in prose.split()[:100]]
        specials = needed_specials("language_model", KIND[name], name, True)
        tokenizer_config = TokenizerConfig(kind="bpe", vocab_size=300 + len(specials), min_frequency=1)
        tokenizer = train_tokenizer(tokenizer_config, documents, specials=specials)
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        end = specials_of(tokenizer).eot
        stream = np.array([index for text in documents for index in [*encode(tokenizer, text), end]], dtype=np.uint16)
        maker = build_block_maker(experiment(settings, context_length), tmp_path / "tokenizer.json")
        return Made(maker.reading(stream), tokenizer, stream)

    return made


def experiment(settings: Settings, context_length: int) -> ExperimentConfig:
    model_class = MODEL_CONFIGS[KIND[str(settings["name"])]]
    assert issubclass(model_class, TextModelConfig)
    objective = ObjectiveConfig(**settings)  # type: ignore[arg-type]
    return ExperimentConfig(model=model_class(context_length=context_length), objective=objective)


def generators(rows: int, epoch: int = 0, first: int = 0) -> RowGenerators:
    return RowGenerators(7, epoch, np.arange(first, first + rows))


def original(settings: Settings, made: Made, batch: dict[str, torch.Tensor], row: int) -> list[int]:
    """The ids of a row, out of what the network is given."""
    one = {name: value[row].numpy() for name, value in batch.items()}
    specials, targets = specials_of(made.tokenizer), one["targets"]
    counted = targets != -100
    if settings["name"] in ("causal_lm", "prefix_lm"):
        time = int(np.flatnonzero(counted).max(initial=-1)) + 1
        shown = (one["inputs"][:time], targets[:time])
        if settings["name"] == "causal_lm":
            return invert_causal_lm(CausalLM(*shown)).tolist()
        return invert_prefix_lm(PrefixLM(*shown, int(one["prefix_length"]))).tolist()
    if settings["name"] == "masked_lm":
        places = one["target_positions"][counted]
        whole = invert_masked_lm(MaskedLM(one["inputs"], targets[counted], places))
        real = whole[one["input_mask"]] if "input_mask" in one else whole
        if settings.get("next_sentence"):
            types = one["token_types"][: len(real)]
            assert real[0] == specials.cls and real[-1] == real[types == 0][-1] == specials.sep
            return [*real[types == 0][1:-1].tolist(), *real[types == 1][:-1].tolist()]
        assert real[0] == specials.cls and real[-1] == specials.sep
        return real[1:-1].tolist()
    if settings["name"] == "span_corruption":
        real = one["inputs"][one["input_mask"]] if "input_mask" in one else one["inputs"]
        given = np.append(specials.pad, targets[counted][:-1])
        assert one["decoder_inputs"][: len(given)].tolist() == given.tolist()
        example = SpanCorruption(real, targets[counted])
        return invert_span_corruption(example, sentinels=np.array(specials.sentinels)).tolist()
    prefix, time = int(one["prefix_length"]), int(one["prefix_length"]) + int(counted.sum())
    rows = {name: one[name][:time] for name in ("inputs", "positions", "block_positions")}
    assert one["target_positions"][counted].tolist() == list(range(prefix, time))
    return invert_blank_infilling(
        BlankInfilling(
            targets=targets[counted], target_positions=one["target_positions"][counted], prefix_length=prefix, **rows
        )
    ).tolist()


@every_case
def test_full_blocks(settings: Settings, make: Callable[..., Made]) -> None:
    made = make(settings)
    ids = made.blocks(*[made.maker.block_length] * 16)
    batch = made.maker.batch(ids, generators(16))
    pairs = {"token_types", "next_sentence"} if settings.get("next_sentence") else set()
    assert set(batch) == KEYS[str(settings["name"])] | pairs
    assert {value.dtype for value in batch.values()} == {torch.int64}
    assert all(value.is_contiguous() for value in batch.values())
    time = batch["inputs"].shape[1]
    assert time <= 32 and ("blank" in str(settings["name"]) or time == 32 or settings.get("mask_rate") == 0.6)
    assert batch["inputs"].min() >= 0 and batch["inputs"].max() < made.tokenizer.get_vocab_size()
    for row in range(16):
        if batch.get("next_sentence", torch.ones(16))[row] == 1:  # else the second part is another
            assert original(settings, made, batch, row) == ids[row].tolist()
    counted = int((batch["targets"] != -100).sum())
    assert made.maker.count(ids, generators(16)) == counted > 0


@every_case
def test_short_and_empty_rows(settings: Settings, make: Callable[..., Made]) -> None:
    made = make(settings)
    lengths = [made.maker.block_length, 0, 1, 2, 3, 4, 9]
    full = made.maker.batch(made.blocks(lengths[0]), generators(1))
    ids = made.blocks(*lengths)
    batch = made.maker.batch(ids, generators(len(lengths)))
    assert {name: value.shape[1:] for name, value in full.items()} == {
        name: value.shape[1:] for name, value in batch.items() if name != "input_mask"
    }
    assert ("input_mask" in batch) == (settings["name"] in ("masked_lm", "span_corruption"))
    if "input_mask" in batch:
        assert batch["input_mask"].dtype == torch.bool and batch["input_mask"].any(dim=1).all()  # else NaN
    assert batch["inputs"].min() >= 0
    counts = (batch["targets"] != -100).sum(dim=1).tolist()
    assert counts[1] == 0
    assert made.maker.count(ids, generators(len(lengths))) == sum(counts)
    for row, length in enumerate(lengths):
        if length > made.maker.overlap and batch.get("next_sentence", torch.ones(len(lengths)))[row] != 0:
            assert original(settings, made, batch, row) == ids[row, :length].tolist()
    assert made.maker.count(np.full_like(ids, -100), generators(len(lengths))) == 0
    made.maker.batch(np.full_like(ids, -100), generators(len(lengths)))


@every_case
def test_a_row_follows_from_its_seed_epoch_and_place_alone(settings: Settings, make: Callable[..., Made]) -> None:
    made = make(settings)
    ids = made.blocks(*[made.maker.block_length] * 6)
    whole = made.maker.batch(ids, generators(6))
    part = made.maker.batch(ids[4:], generators(2, first=4))
    again = made.maker.batch(ids, generators(6))
    other = made.maker.batch(ids, generators(6, epoch=1))
    for name in whole:
        assert torch.equal(whole[name], again[name])
        assert torch.equal(whole[name][4:], part[name])
    same = all(torch.equal(whole[name], other[name]) for name in whole)
    assert same == (settings["name"] == "causal_lm")


@every_case
def test_padding_reaches_nothing(settings: Settings, make: Callable[..., Made]) -> None:
    """What stands behind a short row's own places is padding, without targets, that no row's mask shows."""
    made = make(settings)
    batch = made.maker.batch(made.blocks(9, 9), generators(2))
    pad = specials_of(made.tokenizer).pad or 0
    if "input_mask" in batch:
        assert (batch["inputs"][~batch["input_mask"]] == pad).all()
        assert not batch.get("token_types", torch.zeros(1))[..., -1].any()
    if "target_positions" in batch:
        assert not batch["target_positions"][batch["targets"] == -100].any()
    if "decoder_inputs" in batch:
        targets = batch["targets"]
        assert (batch["decoder_inputs"][:, 1:][targets[:, :-1] == -100] == pad).all()


def test_special_tokens_of_the_stream_are_not_masked(make: Callable[..., Made]) -> None:
    made = make({"name": "masked_lm", "mask_rate": 0.9})
    specials = specials_of(made.tokenizer)
    ids = made.stream[: made.maker.block_length * 60].reshape(60, -1).astype(np.int64)
    assert (ids == specials.eot).any()
    targets = made.maker.batch(ids, generators(60))["targets"]
    assert not np.isin(targets.numpy(), specials.ids).any()
    assert made.maker.count(ids, generators(60)) == int((targets != -100).sum())


def test_next_sentence_says_which_follow(make: Callable[..., Made], tmp_path: Path) -> None:
    settings: Settings = {"name": "masked_lm", "next_sentence": True}
    made = make(settings)
    ids = made.blocks(*[made.maker.block_length] * 64)
    batch = made.maker.batch(ids, generators(64))
    follows = batch["next_sentence"].tolist()
    assert set(follows) == {0, 1} and 16 < sum(follows) < 48
    for row in range(64):
        first = int((batch["token_types"][row] == 0).sum()) - 2
        found = original(settings, made, batch, row)
        assert found[:first] == ids[row, :first].tolist()
        assert (found == ids[row].tolist()) == bool(follows[row])
    single = made.maker.batch(made.blocks(1), generators(1))
    assert single["next_sentence"].tolist() == [-100]
    unbound = build_block_maker(experiment(settings, 32), tmp_path / "tokenizer.json")
    with pytest.raises(RuntimeError, match="call `reading` first"):
        unbound.batch(made.blocks(5), generators(1))


def test_context_lengths_of_the_smallest_example(make: Callable[..., Made]) -> None:
    for settings, least in ((CASES[0], 1), (CASES[2], 3), (CASES[4], 5), (CASES[5], 3), (CASES[7], 3), (CASES[10], 3)):
        made = make(settings, least)
        ids = made.blocks(*[made.maker.block_length] * 3)
        assert made.maker.count(ids, generators(3)) > 0
        assert made.maker.batch(ids, generators(3))["inputs"].shape[1] == least
        if least > 1:
            with pytest.raises(UserError, match=rf"context_length: got {least - 1}, too short(.|\n)*length={least}"):
                make(settings, least - 1)


def test_more_spans_than_sentinels(make: Callable[..., Made]) -> None:
    settings = {"name": "span_corruption", "mask_rate": 0.3, "mean_span": 1.0}
    with pytest.raises(UserError, match=r"objective.mean_span: got 1, which takes 120 spans(.|\n)*100 spans at most"):
        make(settings, 400)
    make({**settings, "mean_span": 2.0}, 400)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("masked_lm", r"<pad>, \[CLS\], \[SEP\], \[MASK\]"),
        ("span_corruption", "<pad>, </s>"),
        ("blank_infilling", r"<pad>, \[MASK\], <sop>, <eop>"),
    ],
)
def test_a_tokenizer_of_another_objective(name: str, missing: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(path))
    with pytest.raises(UserError, match=rf"objective.name={name}: the tokenizer has no {missing}\n(.|\n)*fix "):
        build_block_maker(experiment({"name": name}, 32), path)


def test_a_tokenizer_without_sentinels_or_ends_of_sentences(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    names = ["a", "<pad>", "</s>", "[MASK]", "<sop>", "<eop>"]
    Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="a")).save(str(path))
    with pytest.raises(UserError, match="the tokenizer has no <extra_id_0>"):
        build_block_maker(experiment({"name": "span_corruption"}, 32), path)
    with pytest.raises(UserError, match=r"blanks: got mixed, but no token(.|\n)*fix      set objective.blanks=spans"):
        build_block_maker(experiment({"name": "blank_infilling", "blanks": "mixed"}, 32), path)


def test_an_objective_that_takes_no_plain_text(tmp_path: Path) -> None:
    config = dataclasses.replace(experiment({"name": "causal_lm"}, 8), objective=ObjectiveConfig(name="label"))
    with pytest.raises(UserError, match=r"objective.name: got label(.|\n)*allowed  causal_lm, prefix_lm"):
        build_block_maker(config, tmp_path)
    assert set(BLOCK_MAKERS) == set(KIND)
