"""From text to token ids: nothing is lost, nothing leaks, nothing is done twice."""

import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig, ExperimentConfig
from lit_transformer.data import encode
from lit_transformer.data.prepare import load_prepared, prepare_text
from lit_transformer.data.tokenizers import END, UNKNOWN, decode, load_tokenizer

MakeConfig = Callable[..., ExperimentConfig]


@pytest.mark.parametrize("kind", ["characters", "bpe", "bytes"])
def test_token_ids_decode_to_the_text(kind: str, config: MakeConfig, prose: str) -> None:
    Path("text.txt").write_text(prose, newline="")
    size = 300 if kind == "bpe" else None
    prepared = prepare_text(config(kind=kind, tokenizer={"vocab_size": size}, val_fraction=0.1, test_fraction=0.05))
    tokenizer = load_tokenizer(prepared.folder)
    texts = {split: decode(tokenizer, prepared.token_ids(split).tolist()) for split in ("train", "val", "test")}
    assert "".join(texts.values()) == prose
    assert texts["train"] == prose[: int(len(prose) * (1 - 0.1 - 0.05))]
    assert prepared.bytes == {split: len(text.encode()) for split, text in texts.items()}
    assert prepared.tokens == {split: len(prepared.token_ids(split)) for split in texts}
    assert prepared.vocab_size == tokenizer.get_vocab_size()


def test_documents_end_with_their_token(config: MakeConfig) -> None:
    Path("rows.jsonl").write_text("".join(f'{{"text": "row {index} é"}}\n' for index in range(40)))
    prepared = prepare_text(config(source="jsonl", path="rows.jsonl", context_length=4))
    tokenizer = load_tokenizer(prepared.folder)
    found = []
    for split in ("train", "val", "test"):
        text = decode(tokenizer, prepared.token_ids(split).tolist())
        assert text.endswith(END)
        found += text.removesuffix(END).split(END)
        assert prepared.tokens[split] == sum(map(len, text.split(END))) + text.count(END)
    assert sorted(found) == sorted(f"row {index} é" for index in range(40))  # no document in two splits


def test_the_tokenizer_sees_the_training_split_alone(config: MakeConfig) -> None:
    Path("text.txt").write_text("ab" * 900 + "z" * 200)
    prepared = prepare_text(config(val_fraction=0.1, test_fraction=0))
    tokenizer = load_tokenizer(prepared.folder)
    assert tokenizer.token_to_id("z") is None
    assert set(prepared.token_ids("val").tolist()) == {tokenizer.token_to_id(UNKNOWN)}


def test_given_splits(config: MakeConfig) -> None:
    for name in ("text", "v", "t"):
        Path(f"{name}.txt").write_text(f"{name} abcdefgh" * 20)
    prepared = prepare_text(config(val_path="v.txt", test_path="t.txt"))
    tokenizer = load_tokenizer(prepared.folder)
    texts = [decode(tokenizer, prepared.token_ids(split).tolist()) for split in ("train", "val", "test")]
    assert texts == ["text abcdefgh" * 20, f"{UNKNOWN} abcdefgh" * 20, "t abcdefgh" * 20]


def test_unigram_entropy(config: MakeConfig, prose: str) -> None:
    Path("text.txt").write_text(prose)
    prepared = prepare_text(config())
    counts = Counter(prepared.token_ids("val").tolist())
    total = sum(counts.values())
    expected = -sum(count / total * math.log(count / total) for count in counts.values())
    assert prepared.unigram_entropy["val"] == pytest.approx(expected, abs=1e-12)
    assert prepare_text(config(test_fraction=0)).unigram_entropy["test"] == 0


def test_large_vocabularies_take_four_bytes(config: MakeConfig) -> None:
    text = " ".join(f"w{index}" for index in range(70_000))
    Path("text.txt").write_text(text)
    prepared = prepare_text(config(kind="words", val_fraction=0.01, test_fraction=0))
    assert prepared.vocab_size > 65536
    assert prepared.dtype == "uint32"
    tokenizer = load_tokenizer(prepared.folder)
    assert decode(tokenizer, prepared.token_ids("train").tolist()) == text[: int(len(text) * 0.99)].strip()


def test_the_folder_is_a_function_of_content_and_settings(config: MakeConfig, prose: str) -> None:
    Path("text.txt").write_text(prose)
    Path("same.txt").write_text(prose)
    Path("other.txt").write_text(prose + "!")
    base = prepare_text(config())
    assert prepare_text(config(path="same.txt", context_length=16, seed=4, batch_size=8)).folder == base.folder
    changed = [
        config(path="other.txt"),
        config(val_fraction=0.2),
        config(max_bytes=9000),
        config(kind="bytes"),
        config(tokenizer={"lowercase": True}),
    ]
    assert len({base.fingerprint, *(prepare_text(other).fingerprint for other in changed)}) == 6
    assert load_prepared(base.folder) == base


def test_progress_reaches_its_total(config: MakeConfig, prose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("text.txt").write_text(prose, newline="")
    monkeypatch.setattr(encode, "BATCH", 100_000)
    calls: list[tuple[int, int, str]] = []
    prepare_text(config(kind="bytes"), progress=lambda *state: calls.append(state))
    assert len(calls) == 3  # train, val and test
    assert [done for done, _, _ in calls] == sorted({done for done, _, _ in calls})
    assert calls[-1] == (len(prose.encode()), len(prose.encode()), "bytes")


def test_builtin_with_bpe(config: MakeConfig) -> None:
    settings = config(source="builtin", path=None, kind="bpe", tokenizer={"vocab_size": 1024}, max_bytes=300_000)
    prepared = prepare_text(settings)
    assert prepared.vocab_size == 1024
    assert sum(prepared.bytes.values()) == pytest.approx(300_000, rel=0.01)  # but for repeated documents
    assert prepared.bytes["val"] == pytest.approx(30_000, rel=0.1)
    assert prepared.bytes["test"] == pytest.approx(30_000, rel=0.1)
    assert 4 < prepared.unigram_entropy["val"] < math.log(1024)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", {}, "corpus is empty"),
        (" \n\n", {}, "corpus is empty"),
        ("abcdefgh", {}, "shorter than one block: 6 tokens, model.context_length=8 needs 9(.|\n)*context_length=5"),
        ("abcdefgh" * 10, {"val_fraction": 0.0}, "validation split is empty"),
        ("abcdefgh" * 3, {"val_fraction": 0.01, "test_fraction": 0}, "validation text is too short: 1 tokens"),
        ("abcdefgh" * 9, {"kind": "bpe", "tokenizer": {"vocab_size": 9999}}, "larger than the text allows"),
        ("abcdefgh" * 9, {"kind": "sentences"}, "data.tokenizer.kind: got 'sentences'"),
    ],
)
def test_text_that_cannot_be_prepared(text: str, settings: dict[str, object], message: str, config: MakeConfig) -> None:
    Path("text.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        prepare_text(config(**settings))


def test_preparing_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; import lit_transformer.data.prepare, lit_transformer.data.tokenizers\n"
        "print([name for name in ('torch', 'lightning', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_shakespeare_is_nanogpts_split(config: MakeConfig) -> None:
    """On the project's own copy where there is one, else on a text of the same length."""
    source = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare" / "input.txt"
    text = source.read_text() if source.exists() else "To be, or not\n" * 79671
    Path("text.txt").write_text(text)
    prepared = prepare_text(config(val_fraction=0.1, test_fraction=0, context_length=64))
    tokenizer = load_tokenizer(prepared.folder)
    assert decode(tokenizer, prepared.token_ids("val").tolist()) == text[int(len(text) * 0.9) :]
    assert prepared.tokens["train"] == int(len(text) * 0.9)
    assert prepared.tokens["test"] == 0
    assert prepared.vocab_size == len(set(text)) + 1
    assert prepared.token_ids("train").dtype == np.uint16
    assert DataConfig().val_fraction == 0.1
