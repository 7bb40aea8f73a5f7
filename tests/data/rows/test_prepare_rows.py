"""From rows to token ids: nothing is lost but what is counted, nothing leaks, nothing is done twice."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig, TokenizerConfig
from lit_transformer.data import encode as encoding
from lit_transformer.data.prepare_rows import prepare_rows
from lit_transformer.data.prepared_rows import PreparedRows, Ragged
from lit_transformer.data.tokenizers import decode, load_tokenizer, train_tokenizer
from tests.data.rows.written import write_jsonl, write_lines

MakeRows = Callable[..., ExperimentConfig]
PAIRS = [(f"the {index} dogs run", f"die {index} Hunde laufen") for index in range(60)]


@pytest.fixture
def pairs() -> dict[str, object]:
    write_lines("a.en", [source for source, _ in PAIRS])
    write_lines("a.de", [target for _, target in PAIRS])
    return {"source": "text", "path": "a.en", "target_path": "a.de"}


@pytest.fixture
def films() -> dict[str, object]:
    """Two labels, three rows of four positive; val and test of their own."""
    for name, count in {"train": 40, "val": 8, "test": 4}.items():
        write_lines(f"{name}.tsv", [f"film {name} {index}\t{int(index % 4 > 0)}" for index in range(count)])
    paths = {"path": "train.tsv", "val_path": "val.tsv", "test_path": "test.tsv"}
    return {"source": "tsv", "text_key": "1", "label_key": "2", **paths}


def words(prepared: PreparedRows, split: str, column: str) -> list[str]:
    tokenizer, ragged = load_tokenizer(prepared.folder), prepared.ids(split, column)
    return [decode(tokenizer, ragged[row].tolist()) for row in range(len(ragged))]


@pytest.mark.parametrize("kind", ["characters", "bytes", "bpe"])
def test_ids_decode_to_the_texts(kind: str, config: MakeRows, pairs: dict[str, object]) -> None:
    size = {"kind": kind, "vocab_size": 290 if kind == "bpe" else None}
    made = config("translation", model="encoder_decoder", tokenizer=size, prefix="translate: ", **pairs)
    prepared = prepare_rows(made)
    assert prepared.columns == ("source", "target")
    assert prepared.rows == {"train": 48, "val": 6, "test": 6}
    assert (prepared.labels, prepared.majority, prepared.truncated, prepared.dropped) == ((), {}, {}, {})
    found = []
    for split, count in prepared.rows.items():
        given = [(row["source"], row["target"]) for row in prepared.texts(split)]
        sources, targets = words(prepared, split, "source"), words(prepared, split, "target")
        assert list(zip(sources, targets, strict=True)) == [(f"translate: {a}", b) for a, b in given]
        assert len(given) == count
        lengths = [prepared.ids(split, column).lengths for column in prepared.columns]
        assert prepared.tokens[split] == sum(map(int, np.concatenate(lengths)))
        found += given
    assert sorted(found) == sorted(PAIRS)
    assert prepared.vocab_size == load_tokenizer(prepared.tokenizer_path).get_vocab_size()


def test_labels_are_numbered_by_the_training_split(config: MakeRows, films: dict[str, object]) -> None:
    prepared = prepare_rows(config("classification", objective={"label_words": "bad, good"}, **films))
    assert prepared.columns == ("text",)
    assert prepared.labels == ("bad", "good")
    assert prepared.majority == {"train": 0.75, "val": 0.75, "test": 0.75}
    assert prepared.label_ids("test").tolist() == [0, 1, 1, 1]
    assert prepared.texts("test")[1] == {"text": "film test 1", "label": "good"}
    assert prepare_rows(config("classification", **films)).labels == ("0", "1")
    write_lines("val.tsv", ["film\t1", "film\t2"])
    with pytest.raises(UserError, match=r"val.tsv:2: a label of the val split(.|\n)*allowed  0, 1"):
        prepare_rows(config("classification", **films))


def test_the_tokenizer_sees_the_training_split_alone(config: MakeRows, films: dict[str, object]) -> None:
    prepared = prepare_rows(config("classification", **films))
    tokenizer = load_tokenizer(prepared.folder)
    assert tokenizer.token_to_id("train") is not None
    assert tokenizer.token_to_id("val") is None
    assert words(prepared, "test", "text")[0] == "film <unk> 0"


@pytest.mark.parametrize("model", ["gpt", "t5"])
def test_classes_as_text(model: str, config: MakeRows, films: dict[str, object]) -> None:
    objective = {"name": "text", "template": "{1}\\nIt is ", "label_words": "not good, good"}
    made = config("classification", model=model, objective=objective, tokenizer={"kind": "bytes"}, **films)
    prepared = prepare_rows(made)
    assert prepared.columns == ("prompt", "choice1", "choice2")
    space, rest = ("", " ") if model == "t5" else (" ", "")
    assert words(prepared, "val", "prompt")[1] == f"film val 1\nIt is{rest}"
    assert set(words(prepared, "val", "choice1")) == {f"{space}not good"}
    assert set(words(prepared, "val", "choice2")) == {f"{space}good"}
    assert prepared.label_ids("val").tolist() == [0, 1, 1, 1, 0, 1, 1, 1]


def test_a_template_does_not_see_the_label(config: MakeRows, films: dict[str, object]) -> None:
    for name in ("2", "label"):
        with pytest.raises(UserError, match=rf"train.tsv:1 has no field '{name}'(.|\n)*allowed  \{{1\}}, \{{text\}}$"):
            prepare_rows(config("classification", objective={"name": "text", "template": f"{{{name}}}"}, **films))


@pytest.mark.parametrize("objective", ["label", "text"])
def test_choices(objective: str, config: MakeRows) -> None:
    rows = [{"q": f"Q{index}?", "o": ["a", f"b{index}", "c"], "right": index % 3} for index in range(30)]
    write_jsonl("a.jsonl", rows)
    keys = {"context_key": "q", "choice_keys": "o.0, o.1, o.2", "label_key": "right"}
    settings = {"name": objective, "template": "{q} {choice3}:\n"}
    made = config(
        "multiple_choice", objective=settings, source="jsonl", path="a.jsonl", tokenizer={"kind": "bytes"}, **keys
    )
    prepared = prepare_rows(made)
    first = "context" if objective == "label" else "prompt"
    assert prepared.columns == (first, "choice1", "choice2", "choice3")
    assert prepared.labels == ()
    assert prepared.majority.keys() == {"train", "val", "test"}
    for number, text in enumerate(prepared.texts("val")):
        index = int(text["context"][1:-1])
        assert (text["label"], prepared.label_ids("val")[number]) == (str(index % 3), index % 3)
        assert words(prepared, "val", "choice2")[number] == f"b{index}"
        expected = f"Q{index}?" if objective == "label" else f"Q{index}? c:\n"
        assert words(prepared, "val", first)[number] == expected


def test_what_is_lost_is_counted_and_said(
    config: MakeRows, pairs: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines("v.en", ["a b c d e f g h", "", "a", "b"])
    write_lines("v.de", ["a", "b", " ", "b a b a b a b a b"])
    made = config(
        "translation", model="encoder_decoder", context_length=6, **pairs, val_path="v.en", val_target_path="v.de"
    )
    prepared = prepare_rows(made)
    assert prepared.rows["val"] == 2
    assert prepared.truncated == {"val/source": 1, "val/target": 1}
    assert prepared.dropped == {"val": 2}
    assert [len(text.split()) for text in words(prepared, "val", "source")] == [5, 1]
    assert prepared.texts("val")[1]["target"] == "b a b a b a b a b"  # references stay whole
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"data: train 54, val 2, test 6 rows, {sum(prepared.tokens.values())} tokens of {prepared.vocab_size} kinds; "
        "rows dropped for an empty text: val 2; texts cut to model.context_length: val/source 1, val/target 1\n"
    )
    with pytest.raises(UserError, match=r"v.en:1: a row longer than the context(.|\n)*got      9 tokens of source"):
        prepare_rows(replace(made, data=replace(made.data, too_long="refuse")))
    with pytest.raises(UserError, match=r"v.en:2: the source is empty"):
        prepare_rows(replace(made, data=replace(made.data, empty="refuse")))


def test_the_message_names_what_guessing_gets(
    config: MakeRows, films: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare_rows(config("classification", **films))
    said = capsys.readouterr().err
    assert "2 labels (0, 1); always guessing the commonest is right in train 75.0%, val 75.0%, test 75.0%" in said


def test_a_second_time_comes_from_the_cache(config: MakeRows, pairs: dict[str, object]) -> None:
    made = config("translation", model="encoder_decoder", **pairs)
    calls: list[tuple[int, int, str]] = []
    first = prepare_rows(made, progress=lambda *state: calls.append(state))
    assert calls[-1] == (120, 120, "texts")
    assert [done for done, _, _ in calls] == sorted({done for done, _, _ in calls})
    calls.clear()
    assert prepare_rows(made, progress=lambda *state: calls.append(state)) == first
    assert calls == []
    (first.folder / "train.source.bin").write_bytes(b"")  # damaged
    assert prepare_rows(made, progress=lambda *state: calls.append(state)) == first
    assert calls


def test_the_folder_is_a_function_of_content_and_settings(config: MakeRows, films: dict[str, object]) -> None:
    base = config("classification", **films)
    first = prepare_rows(base)
    same = config("classification", batch_size=8, source_key="x", target_key="y", val_fraction=0.3, **films)
    assert prepare_rows(same).folder == first.folder
    Path("other.tsv").write_text(Path("train.tsv").read_text())
    assert prepare_rows(config("classification", **{**films, "path": "other.tsv"})).folder == first.folder
    changed = [
        config("classification", **{**films, "path": "val.tsv"}),
        config("classification", **{**films, "text_key": "2", "label_key": "1"}),
        config("classification", pair_key="1", **films),
        config("classification", max_bytes=300, **films),
        config("classification", context_length=32, **films),
        config("classification", model="bert", **films),
        config("classification", too_long="refuse", **films),
        config("classification", tokenizer={"lowercase": True}, **films),
        config("classification", objective={"label_words": "a, b"}, **films),
        config("classification", objective={"name": "text"}, **films),
        config("classification", objective={"name": "text", "template": "{text}"}, **films),
    ]
    found = []
    for other in changed:
        try:
            found.append(prepare_rows(other).fingerprint)
        except UserError:  # labels are texts now, each alone
            found.append("refused")
    assert len({first.fingerprint, *found}) == len(changed) + 1


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_the_tokenizer_of_another_run(prefix: str, config: MakeRows, films: dict[str, object]) -> None:
    Path("run").mkdir()
    for name in ("config.yaml", "config.json"):
        Path(f"run/{name}").touch()
    other = train_tokenizer(
        TokenizerConfig(kind="words", vocab_size=None, min_frequency=1), ["film 1 2 3"], specials=["<pad>", "[CLS]"]
    )
    other.enable_truncation(1)
    other.enable_padding(length=9)
    other.save("run/tokenizer.json")
    made = config("classification", init_from=f"{prefix}run", **films)
    prepared = prepare_rows(made)
    tokenizer = load_tokenizer(prepared.folder)
    known = other.get_vocab()
    assert {name: index for name, index in tokenizer.get_vocab().items() if index < len(known)} == known
    assert [tokenizer.token_to_id(name) for name in ("<start>", "<delimiter>", "<extract>")] == [7, 8, 9]
    assert prepared.vocab_size == 10
    assert words(prepared, "train", "text")[1] == "film <unk> 1"
    assert prepare_rows(config("classification", **films), tokenizer_path=Path("run/tokenizer.json")) == prepared
    train_tokenizer(
        TokenizerConfig(kind="words", vocab_size=None, min_frequency=1), ["film 1 2 4"], specials=["<pad>", "[CLS]"]
    ).save("run/tokenizer.json")
    assert prepare_rows(made).fingerprint != prepared.fingerprint
    Path("run/tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer.json"):
        prepare_rows(made)
    with pytest.raises(UserError, match=r"gone.json: cannot be read"):
        prepare_rows(made, tokenizer_path=Path("gone.json"))


@pytest.mark.parametrize("side", [0, 1])
def test_words_of_a_script_without_spaces_are_warned_of(side: int, config: MakeRows) -> None:
    texts = ["the dogs run", "狗在跑"]
    write_lines("a", [f"{texts[side]} {number}" for number in range(30)])
    write_lines("b", [f"{texts[1 - side]} {number}" for number in range(30)])
    made = config("translation", model="encoder_decoder", source="text", path="a", target_path="b")
    with pytest.warns(UserWarning, match="takes a whole Chinese"):
        prepare_rows(made)


@pytest.mark.parametrize(("code", "message"), [(errno.ENOSPC, "is full: about"), (errno.EIO, "cannot be written")])
def test_a_failing_disk_leaves_nothing(
    code: int,
    message: str,
    config: MakeRows,
    films: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(encoding.os, "write", fail)
        with pytest.raises(UserError, match=message):
            prepare_rows(config("classification", **films))
    assert not [path for path in (tmp_path / "cache").glob("*/*") if path.suffix != ".lock"]


def test_a_split_without_rows(config: MakeRows, pairs: dict[str, object]) -> None:
    prepared = prepare_rows(config("translation", model="encoder_decoder", test_fraction=0, **pairs))
    assert prepared.rows["test"] == prepared.tokens["test"] == len(prepared.ids("test", "source")) == 0
    assert prepared.ids("test", "source").values.dtype == np.uint16
    assert prepared.texts("test") == []


@pytest.mark.parametrize(
    ("task", "model", "rows"),
    [
        ("translation", "encoder_decoder", {"train": 9000, "val": 500, "test": 500}),
        ("text_to_text", "t5", {"train": 6000, "val": 500, "test": 500}),
        ("classification", "bert", {"train": 6000, "val": 500, "test": 500}),
        ("multiple_choice", "gpt", {"train": 6000, "val": 500, "test": 500}),
    ],
)
def test_builtin_data(
    task: str, model: str, rows: dict[str, int], config: MakeRows, capsys: pytest.CaptureFixture[str]
) -> None:
    made = config(
        task,
        model=model,
        source="builtin",
        too_long="refuse",
        empty="refuse",
        tokenizer={"kind": "characters"},
        context_length=256,
    )
    prepared = prepare_rows(made)
    assert prepared.rows == rows
    guesses: dict[str, float] = {}
    if task in ("classification", "multiple_choice"):
        guesses = dict.fromkeys(rows, 0.5)
    elif task == "text_to_text":
        answers = {split: [text["target"] for text in prepared.texts(split)] for split in rows}
        guesses = {split: max(map(found.count, set(found))) / len(found) for split, found in answers.items()}
        assert all(0.01 < share < 0.05 for share in guesses.values())
    assert prepared.majority == guesses
    _, guessing, said = capsys.readouterr().err.strip().partition("; always guessing the commonest is right in ")
    assert bool(guessing) == bool(guesses)
    assert said == ", ".join(f"{split} {100 * share:.1f}%" for split, share in guesses.items())


def test_ragged_rows_end() -> None:
    ragged = Ragged(values=np.arange(5, dtype=np.uint16), offsets=np.array([0, 2, 2, 5]))
    assert [row.tolist() for row in ragged] == [[0, 1], [], [2, 3, 4]]  # type: ignore[attr-defined]
    assert ragged.lengths.tolist() == [2, 0, 3]
    with pytest.raises(IndexError):
        ragged[3]


def test_preparing_imports_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; import lit_transformer.data.prepare_rows\n"
        "print([name for name in ('torch', 'lightning', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "[]", done.stderr
