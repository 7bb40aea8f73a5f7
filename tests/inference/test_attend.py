"""`attend` reads a text as each network was trained to, and its arrays are what the layers computed."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_transformer import cli
from lit_transformer.config.errors import UserError
from lit_transformer.config.models import MODEL_CONFIGS
from lit_transformer.config.schema import DataConfig, DecodingConfig, ExperimentConfig, ObjectiveConfig, TokenizerConfig
from lit_transformer.data.special_names import needed_specials
from lit_transformer.data.specials import specials_of
from lit_transformer.data.tokenizers import train_tokenizer
from lit_transformer.decoding.sources import decode_sources
from lit_transformer.inference.attend import Attention, attend, token_texts
from lit_transformer.inference.text_run import TextRun
from lit_transformer.models.for_task import build_network
from lit_transformer.nn.attention_recording import record_attention

TEXT = "the animal crosses the street"
WORDS = TEXT.split()
SMALL = {"num_layers": 2, "num_heads": 4, "d_model": 16, "context_length": 12}

Look = Callable[..., Attention]


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    """`attend` with a fresh network of a kind, whose run is kept as `look.run`."""

    def make(
        kind: str, text: str = TEXT, *, target: str | None = None, task: str = "language_model",
        objective: str | None = None, poison: bool = False, prefix: str = "", **model: object,
    ) -> Attention:  # fmt: skip
        words = TokenizerConfig(kind="words", vocab_size=None, min_frequency=1)
        specials = needed_specials(task, kind, objective or "", several_documents=False)
        tokenizer = train_tokenizer(words, [f"{TEXT} because it was too tired"], specials=specials)
        settings = MODEL_CONFIGS[kind](**SMALL, vocab_size=tokenizer.get_vocab_size(), **model)
        config = ExperimentConfig(
            task=task,  # type: ignore[arg-type]
            model=settings,
            objective=ObjectiveConfig(name=objective),  # type: ignore[arg-type]
            data=DataConfig(prefix=prefix),
            decoding=DecodingConfig(max_length=6),
        )
        torch.manual_seed(0)
        network = build_network(config).eval()
        if poison:
            next(network.parameters()).data.fill_(torch.nan)
        run = TextRun(
            path=Path("run"), config=config, network=network, tokenizer=tokenizer, specials=specials_of(tokenizer)
        )
        monkeypatch.setattr("lit_transformer.inference.attend.open_text_run", lambda path: run)
        make.run = run  # type: ignore[attr-defined]
        return attend("run", text, target=target)

    return make


def shapes(found: Attention) -> dict[str, tuple[int, ...]]:
    return {name: weights.shape for name, weights in found.weights.items()}


def test_gpt_reads_the_plain_text_and_sees_nothing_later(look: Look) -> None:
    found = look("gpt", num_kv_heads=2, positions="rope")
    assert found.tokens == WORDS and found.target_tokens is None
    assert shapes(found) == {"decoder/0": (4, 5, 5), "decoder/1": (4, 5, 5)}
    assert found.model == "gpt, num_layers 2, num_heads 4, d_model 16"
    for weights in found.weights.values():
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)
        assert (np.triu(weights, 1) == 0).all() and weights.dtype == np.float32
    assert found.tokens_of("decoder") == (WORDS, WORDS) and found.layers_of("cross") == []


def test_bert_reads_it_between_cls_and_sep_with_blanks(look: Look) -> None:
    found = look("bert", "the [MASK] crosses the street")
    assert found.tokens == ["[CLS]", "the", "[MASK]", "crosses", "the", "street", "[SEP]"]
    assert shapes(found) == {"encoder/0": (4, 7, 7), "encoder/1": (4, 7, 7)}
    assert all((weights > 0).all() for weights in found.weights.values())


def test_glm_reads_it_in_both_directions(look: Look) -> None:
    found = look("glm", "the [MASK] crosses")
    assert found.tokens == ["the", "[MASK]", "crosses"]
    assert set(found.weights) == {"decoder/0", "decoder/1"}
    assert all((weights > 0).all() for weights in found.weights.values())


@pytest.mark.parametrize(
    ("kind", "task", "first", "last"),
    [("gpt", "classification", "<start>", "<extract>"), ("bert", "multiple_choice", "[CLS]", "[SEP]")],
)
def test_a_head_reads_it_as_in_its_training(look: Look, kind: str, task: str, first: str, last: str) -> None:
    found = look(kind, task=task, objective="label")
    assert found.tokens == [first, *WORDS, last]
    assert {name.partition("/")[0] for name in found.weights} == {"decoder" if kind == "gpt" else "encoder"}


@pytest.mark.parametrize("kind", ["encoder_decoder", "t5"])
def test_an_encoder_decoder_has_three_kinds_of_attention(look: Look, kind: str) -> None:
    found = look(
        kind, "the animal", target="it was too tired", task="translation", prefix="because ", num_encoder_layers=1
    )
    assert found.tokens == ["because", "the", "animal", "</s>"]
    assert found.target_tokens == ["<pad>", "it", "was", "too", "tired"]
    assert shapes(found) == {
        "encoder/0": (4, 4, 4), "decoder/0": (4, 5, 5), "decoder/1": (4, 5, 5),
        "cross/0": (4, 5, 4), "cross/1": (4, 5, 4),
    }  # fmt: skip
    assert [*found.weights] == ["encoder/0", "decoder/0", "decoder/1", "cross/0", "cross/1"]
    assert found.model == f"{kind}, num_layers 1 + 2, num_heads 4, d_model 16"
    assert found.tokens_of("encoder") == (found.tokens, found.tokens)
    assert found.tokens_of("decoder") == (found.target_tokens, found.target_tokens)
    assert found.tokens_of("cross") == (found.target_tokens, found.tokens)
    run: TextRun = look.run  # type: ignore[attr-defined]
    ids = [[run.tokenizer.token_to_id(token) for token in tokens] for tokens in (found.tokens, found.target_tokens)]
    with torch.no_grad(), record_attention(run.network) as recorded:
        run.network(torch.tensor([ids[0]]), torch.tensor([ids[1]]))
    np.testing.assert_array_equal(found.weights["cross/1"], recorded["decoder_blocks.1.cross_attention"][0])


@pytest.mark.parametrize("kind", ["encoder_decoder", "t5"])
def test_without_a_target_it_is_what_greedy_decoding_writes(look: Look, kind: str) -> None:
    found = look(kind, task="translation")
    run: TextRun = look.run  # type: ignore[attr-defined]
    pad, end = run.specials.required("pad", "end", by="test")
    source = torch.tensor([[*run.encode(TEXT), end]])
    ids = decode_sources(run.network, source, start_token=pad, stop_token=end, max_length=6, forbidden=(pad,))[0][0].ids  # type: ignore[arg-type]
    assert found.target_tokens == ["<pad>", *token_texts(run.tokenizer, ids)]
    assert found.weights["cross/0"].shape == (4, 1 + len(ids), len(WORDS) + 1)


def test_t5_takes_sentinels_for_blanks(look: Look) -> None:
    found = look("t5", "the [MASK] crosses [MASK]", target="[MASK] animal")
    assert found.tokens == ["the", "<extra_id_0>", "crosses", "<extra_id_1>", "</s>"]
    assert found.target_tokens == ["<pad>", "<extra_id_0>", "animal"]


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("gpt", {"text": ""}, "The text is empty"),
        ("bert", {"text": " "}, "The text is empty"),
        ("t5", {"text": " ", "prefix": "because "}, "The text is empty"),
        ("t5", {"target": ""}, "The text is empty"),
        ("gpt", {"target": "tired"}, "--target\n  got      tired\n  allowed  nothing: a gpt reads one text"),
        ("gpt", {"text": "the " * 13}, "13 tokens, special ones included\n  allowed  12"),
        ("bert", {"text": "the " * 11}, "13 tokens, special ones included\n  allowed  12"),
        ("t5", {"target": "the " * 12}, "13 tokens, special ones included\n  allowed  12"),
        ("gpt", {"poison": True}, "computes NaN"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(look: Look, kind: str, options: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        look(kind, **options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "vocab_size", "expected"),
    [("bpe", 257, ["a", " b", "\n"]), ("bytes", None, ["a", " ", "b", "\n"])],
)
def test_byte_level_tokens_are_read_as_text(kind: str, vocab_size: int | None, expected: list[str]) -> None:
    settings = TokenizerConfig(kind=kind, vocab_size=vocab_size, min_frequency=1)  # type: ignore[arg-type]
    tokenizer = train_tokenizer(settings, ["a b\n" * 9], specials=())
    ids = tokenizer.encode("a b\n", add_special_tokens=False).ids
    assert token_texts(tokenizer, ids) == expected
    assert "�" in token_texts(tokenizer, tokenizer.encode("é", add_special_tokens=False).ids)


def shell(*arguments: object) -> str:
    command = [sys.executable, "-m", "lit_transformer.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_verb_writes_page_and_arrays(
    tmp_path: Path, tiny_experiment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shell("fit", tiny_experiment, "tracking.wandb=off", "--output", tmp_path).strip()
    page, arrays = tmp_path / "page.html", tmp_path / "page.npz"
    shown = json.loads(shell("attend", run, "the head", "--output", page, "--json"))
    assert shown["weights"] == {"decoder/0": {"heads": 2, "queries": 8, "keys": 8}}
    assert (shown["page"], shown["arrays"]) == (str(page), str(arrays))
    found = np.load(arrays)
    assert set(found) == {"tokens", "decoder/0"} and "".join(found["tokens"]) == "the head"
    cli.attend(Path(run), "the layer", output=page)
    assert capsys.readouterr() == (f"{page}\n", f"wrote {arrays}\n")
    assert "the layer" in page.read_text()
