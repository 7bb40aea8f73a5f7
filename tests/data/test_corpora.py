"""Every source gives its documents, and says exactly what is wrong with them."""

import gzip
import json
import os
import sys
from pathlib import Path

import datasets
import huggingface_hub
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.builtin import builtin_files, read_builtin
from lit_transformer.data.corpora import open_corpora, take_bytes
from lit_transformer.data.files import read_text


def read(**settings: object) -> list[str]:
    data = DataConfig(**settings)  # type: ignore[arg-type]
    return list(take_bytes(open_corpora(data)["train"].documents(), data.max_bytes))


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def test_a_text_keeps_its_characters() -> None:
    write("a.txt", "\ufeffone\r\ntwo\rthree 東\n")
    assert read(source="text", path="a.txt") == ["one\r\ntwo\rthree 東\n"]


def test_globs_gzip_and_both_folders(tmp_path: Path) -> None:
    write("texts/b.txt", "bee")
    write("texts/a.txt.gz", "ay")
    write("texts/deep/c.txt", "sea")
    assert read(source="text", path="texts/*.txt*") == ["ay", "bee"]
    assert read(source="text", path="texts/**/*.txt*") == ["ay", "bee", "sea"]
    write(str(tmp_path / "data" / "elsewhere.txt"), "data folder")
    assert read(source="text", path="elsewhere.txt") == ["data folder"]
    assert read(source="text", path="else*.txt") == ["data folder"]
    write("elsewhere.txt", "current folder")
    assert read(source="text", path="elsewhere.txt") == ["current folder"]
    write("odd[1].txt", "brackets")
    assert read(source="text", path="odd[1].txt") == ["brackets"]


def test_rows_of_jsonl() -> None:
    rows = [{"text": "one\ntwo", "n": 1}, {"text": "東"}]
    write("a.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert read(source="jsonl", path="a.jsonl") == ["one\ntwo", "東"]
    write("b.jsonl.gz", json.dumps({"body": "x"}))
    assert read(source="jsonl", path="b.jsonl.gz", text_key="body") == ["x"]


@pytest.mark.parametrize("limit", range(1, 14))
def test_max_bytes_cuts_at_a_character(limit: int) -> None:
    write("a.txt", "é東🙂b")
    write("b.txt", "cd")
    expected = "é東🙂bcd".encode()[:limit].decode(errors="ignore")
    assert "".join(read(source="text", path="?.txt", max_bytes=limit)) == expected


def test_builtin_is_prose_in_a_fixed_order() -> None:
    files = builtin_files()
    documents = list(take_bytes(read_builtin(files), 150_000))
    assert documents == list(take_bytes(read_builtin(builtin_files()), 150_000))
    assert len(documents) > 9
    assert any("Abstract Base Classes" in text for text in documents)
    assert not any("site-packages" in str(file) or "/test/" in str(file) for file in files)
    code = sum(
        line.lstrip().startswith(("import ", "def ", "return ")) for text in documents for line in text.split("\n")
    )
    assert code < 0.02 * sum(text.count("\n") for text in documents)


def test_builtin_executes_nothing_and_leaves_out_repeats(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("this is not Python " + '"""' * 9)
    (tmp_path / "mod.py").write_text(
        '"""Module."""\nraise SystemExit\nclass A:\n    """Class."""\n    def f(self):\n        """Method."""\n'
        '    async def g(self):\n        """Class."""\n'
    )
    (tmp_path / "other.py").write_text('"""Module."""\ndef f():\n    """Fresh.\n\n    More.\n    """\n')
    (tmp_path / "pydoc_data").mkdir()
    (tmp_path / "pydoc_data" / "topics.py").write_text("topics = {'b': '\\n  bee\\n', 'a': 'ay'}")
    (tmp_path / "LICENSE.txt").write_text("Licence")
    assert list(read_builtin(builtin_files(tmp_path))) == [
        "Module.\n\nClass.\n\nMethod.\n",
        "Fresh.\n\nMore.\n",
        "Licence",
        "ay\n",
        "bee\n",
    ]


def test_builtin_without_sources(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no sources in"):
        builtin_files(tmp_path)


def test_a_missing_file_says_where_it_was_looked_for_and_what_is_near(tmp_path: Path) -> None:
    write(str(tmp_path / "data" / "shakespeare" / "input.txt"), "x")
    with pytest.raises(UserError, match=r"data.path: there is no file shakespear/input.txt") as caught:
        read(source="text", path="shakespear/input.txt")
    message = str(caught.value)
    assert str(tmp_path / "here" / "shakespear" / "input.txt") in message
    assert str(tmp_path / "data" / "shakespear" / "input.txt") in message
    assert f"did you mean {tmp_path / 'data' / 'shakespeare' / 'input.txt'}?" in message
    write("a.txt", "x")
    with pytest.raises(UserError, match=r"data.val_path: there is no file q.md(.|\n)*LIT_TRANSFORMER_DATA"):
        read(source="text", path="a.txt", val_path="q.md")


def test_paths_that_are_no_files() -> None:
    Path("folder").mkdir()
    with pytest.raises(UserError, match=r"folder is a folder, not a file(.|\n)*data.path=folder/\*.txt"):
        read(source="text", path="folder")
    with pytest.raises(UserError, match=r"no file matches folder/\*.txt"):
        read(source="text", path="folder/*.txt")
    with pytest.raises(UserError, match=r"source text needs a file"):
        read(source="text")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_not_utf8_names_file_and_byte(name: str) -> None:
    write(name, "0123é".encode() + b"caf\xe9 ")
    with pytest.raises(UserError, match=f"{name}: not UTF-8 at byte 9 \\(0xe9"):
        read(source="text", path=name)
    with pytest.raises(UserError, match=r"not UTF-8 at byte 4 "):  # the text ends inside a character
        read_text(write("cut.txt", "0123é".encode()[:-1]))


def test_not_utf8_in_jsonl_names_line_and_byte() -> None:
    write("a.jsonl", '{"text": "é"}\n'.encode() + b'{"text": "\xff"}\n')
    with pytest.raises(UserError, match=r"a.jsonl:2: not UTF-8 at byte 25 \(0xff"):
        read(source="jsonl", path="a.jsonl")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{'text': 1}", "a.jsonl:3: not JSON"),
        ("[1]", "a.jsonl:3: a row must be a JSON object, got list"),
        ('{"txt": "a"}', "a.jsonl:3: no text under 'text'(.|\n)*got      nothing(.|\n)*keys that hold one: txt"),
        ('{"text": 5}', "a.jsonl:3: no text under 'text'(.|\n)*got      a int"),
        ('{"text": "\\ud800"}', "a.jsonl:3: the text under 'text' holds half a surrogate pair"),
    ],
)
def test_broken_rows_name_file_and_line(row: str, message: str) -> None:
    write("a.jsonl", '{"text": "fine"}\n\n' + row + "\n")
    with pytest.raises(UserError, match=message):
        read(source="jsonl", path="a.jsonl")


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-9], lambda raw: raw[:20] + b"\x00\x01" + raw[22:], lambda raw: b"no"]
)
def test_a_broken_gz(damage: object) -> None:
    Path("a.txt.gz").write_bytes(damage(gzip.compress(os.urandom(500).hex().encode())))  # type: ignore[operator]
    with pytest.raises(UserError, match=r"a.txt.gz: broken .gz file"):
        read(source="text", path="a.txt.gz")


def test_an_unknown_source() -> None:
    with pytest.raises(
        UserError, match=r"got 'txet'(.|\n)*allowed  builtin, text, jsonl, hub:(.|\n)*did you mean text?"
    ):
        read(source="txet")
    with pytest.raises(UserError, match=r"data.source: got 'hub:'"):
        read(source="hub:")


def test_a_path_beside_a_source_without_files() -> None:
    with pytest.raises(UserError, match=r"data.path: got 'a.txt', but data.source=builtin reads no files"):
        read(source="builtin", path="a.txt")


def test_hub_folder_with_and_without_splits(tmp_path: Path) -> None:
    rows = [f"row {index}" for index in range(20)]
    datasets.Dataset.from_dict({"text": rows}).save_to_disk("plain")
    plain = open_corpora(DataConfig(source="hub:plain"))
    assert {role: list(corpus.documents()) for role, corpus in plain.items()} == {"train": rows}
    parts = {"train": rows[:10], "validation": rows[10:15], "test": rows[15:]}
    made = datasets.DatasetDict({name: datasets.Dataset.from_dict({"body": part}) for name, part in parts.items()})
    made.save_to_disk(str(tmp_path / "data" / "split"))
    split = open_corpora(DataConfig(source="hub:split", text_key="body"))
    assert {role: list(corpus.documents()) for role, corpus in split.items()} == {
        "train": rows[:10],
        "val": rows[10:15],
        "test": rows[15:],
    }
    with pytest.raises(UserError, match=r"data.text_key=text: hub:split has no such column(.|\n)*allowed  body"):
        open_corpora(DataConfig(source="hub:split"))


def test_hub_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the extra `hub`(.|\n)*lit-transformer\[hub\]"):
        open_corpora(DataConfig(source="hub:wikitext"))


def test_hub_name_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"data.source=hub:no-such-data cannot be loaded(.|\n)*save_to_disk"):
        open_corpora(DataConfig(source="hub:no-such-data"))
