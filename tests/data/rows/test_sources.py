"""Every source gives its rows with their places, and says exactly what is wrong with them."""

import gzip
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import ExperimentConfig
from lit_transformer.data.rows.row import Row
from lit_transformer.data.rows.sources import open_rows
from tests.data.rows.written import write_jsonl, write_lines

MakeRows = Callable[..., ExperimentConfig]
COPA = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE copa-corpus SYSTEM "copa.dtd">
<copa-corpus version="1.0">
  <item id="1" asks-for="cause" most-plausible-alternative="1">
    <p>My body cast a shadow over the grass. </p>
    <a1>The sun was rising.</a1>
    <a2>Tom &amp; Ann cut the grass.</a2>
  </item>
  <item id="2" asks-for="effect" most-plausible-alternative="2">
    <p>Who is it?</p> <a1>A.</a1> <a2>B.</a2>
  </item>
</copa-corpus>
"""


def rows(config: ExperimentConfig, role: str = "train") -> list[Row]:
    return list(open_rows(config)[role].rows())


def test_pairs_of_lines(config: MakeRows) -> None:
    Path("a.en").write_bytes("\ufeffone\r\n two\u2028three \n\nfour".encode())
    with gzip.open("a.de.gz", "wb") as file:
        file.write("eins\n zwei\x85drei \n\nvier\n".encode())
    made = config("translation", source="text", path="a.en", target_path="a.de.gz")
    assert [tuple(row.fields.values()) for row in rows(made)] == [
        ("one", "eins"),
        (" two\u2028three ", " zwei\x85drei "),
        ("", ""),
        ("four", "vier"),
    ]
    assert [row.place.rpartition("/")[2] for row in rows(made)] == ["a.en:1", "a.en:2", "a.en:3", "a.en:4"]
    assert rows(made)[0].fields.keys() == {"source", "target"}


def test_several_pairs_of_files(config: MakeRows) -> None:
    for name, text in {"1.en": "a", "2.en": "b", "1.de": "A", "2.de": "B"}.items():
        write_lines(name, [text])
    made = config(
        "text_to_text", source="text", path="?.en", target_path="?.de", val_path="1.en", val_target_path="1.de"
    )
    assert [list(row.fields.values()) for row in rows(made)] == [["a", "A"], ["b", "B"]]
    assert [list(row.fields.values()) for row in rows(made, "val")] == [["a", "A"]]
    with pytest.raises(UserError, match=r"2 files of sources and 1 of targets(.|\n)*1.en, 2.en and 1.de"):
        rows(config("translation", source="text", path="?.en", target_path="1.de"))


@pytest.mark.parametrize(
    ("lines", "partners", "message"),
    [
        (4, 2, r"a.de:3: this line is missing(.|\n)*4 lines in .*a.en\n +2 lines in .*a.de(.|\n)*a.en:3: 'line 3'"),
        (2, 3, r"a.en:3: this line is missing(.|\n)*2 lines in .*a.en\n +3 lines in .*a.de(.|\n)*a.de:3: 'line 3'"),
        (1, 0, r"a.de:1: this line is missing"),
    ],
)
def test_parallel_files_of_different_lengths(lines: int, partners: int, message: str, config: MakeRows) -> None:
    write_lines("a.en", [f"line {number}" for number in range(1, lines + 1)])
    write_lines("a.de", [f"line {number}" for number in range(1, partners + 1)])
    with pytest.raises(UserError, match=message):
        rows(config("translation", source="text", path="a.en", target_path="a.de"))


def test_a_table_by_numbers_and_by_names(config: MakeRows) -> None:
    write_lines("a.tsv", ['say "hi"\t1\tx', "", "lone\t0"])
    made = config("classification", source="tsv", path="a.tsv")
    assert [dict(row.fields) for row in rows(made)] == [
        {"1": 'say "hi"', "2": "1", "3": "x"},
        {},
        {"1": "lone", "2": "0"},
    ]
    write_lines("b.tsv", ["body\tlabel", "good\t1"])
    named = rows(config("classification", source="tsv", path="b.tsv", header=True))
    assert [dict(row.fields) for row in named] == [{"body": "good", "label": "1"}]
    assert named[0].place.endswith("b.tsv:2")
    write_lines("c.tsv", ["body\tlabel", "good\t1\tmore"])
    with pytest.raises(UserError, match=r"c.tsv:2: more columns(.|\n)*got      3(.|\n)*allowed  2: body, label"):
        rows(config("classification", source="tsv", path="c.tsv", header=True))


def test_nested_fields_of_jsonl(config: MakeRows) -> None:
    write_jsonl(
        "a.jsonl", [{"translation": {"en": "a", "de": "b"}, "n": 3, "ok": True, "no": None, "list": ["x", [0.5]]}]
    )
    found = rows(config("translation", source="jsonl", path="a.jsonl"))
    assert [dict(row.fields) for row in found] == [
        {
            "translation.en": "a",
            "translation.de": "b",
            "n": "3",
            "ok": "true",
            "no": "",
            "list.0": "x",
            "list.1.0": "0.5",
        }
    ]
    assert found[0].place.endswith("a.jsonl:1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "a.jsonl:2: a row must be"),
        ("{", "a.jsonl:2: not JSON"),
        ('{"a": "\\ud800"}', "a.jsonl:2: a text holds"),
    ],
)
def test_broken_jsonl_names_file_and_line(line: str, message: str, config: MakeRows) -> None:
    write_lines("a.jsonl", ['{"source": "fine"}', line])
    with pytest.raises(UserError, match=message):
        rows(config("translation", source="jsonl", path="a.jsonl"))


def test_copa(config: MakeRows) -> None:
    Path("copa.xml").write_text(COPA)
    found = rows(config("multiple_choice", source="copa", path="copa.xml"))
    assert [dict(row.fields) for row in found] == [
        {
            "context": "My body cast a shadow over the grass because",
            "choice1": "The sun was rising.",
            "choice2": "Tom & Ann cut the grass.",
            "label": "0",
            "premise": "My body cast a shadow over the grass.",
            "question": "cause",
        },
        {
            "context": "Who is it? so",
            "choice1": "A.",
            "choice2": "B.",
            "label": "1",
            "premise": "Who is it?",
            "question": "effect",
        },
    ]
    assert [row.place.rpartition("/")[2] for row in found] == ["copa.xml:4", "copa.xml:9"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</a1>", "", r"copa.xml:8: broken XML \(mismatched tag\)"),
        ("</copa-corpus>", "", r"copa.xml:\d+: broken XML"),
        ('asks-for="effect"', 'asks-for="efect"', r"copa.xml:9: asks-for: got 'efect'(.|\n)*mean effect\?"),
        ('alternative="2"', 'alternative="3"', r"copa.xml:9: most-plausible-alternative: got '3'\n  allowed  1, 2"),
        (' most-plausible-alternative="1"', "", r"copa.xml:4: most-plausible-alternative: got None"),
        ("<a2>B.</a2>", "", r"copa.xml:9: this item has no a2"),
    ],
)
def test_broken_copa_names_file_and_line(old: str, new: str, message: str, config: MakeRows) -> None:
    Path("copa.xml").write_text(COPA.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        rows(config("multiple_choice", source="copa", path="copa.xml"))


def test_hub_rows(config: MakeRows) -> None:
    made = {"translation": [{"en": "a", "de": "A"}, {"en": "b", "de": "B"}], "label": [0, 1]}
    parts = {"train": datasets.Dataset.from_dict(made), "validation": datasets.Dataset.from_dict(made)}
    datasets.DatasetDict(parts).save_to_disk("saved")
    opened = open_rows(config("translation", source="hub:saved"))
    assert opened.keys() == {"train", "val"}
    found = list(opened["val"].rows())
    assert dict(found[1].fields) == {"translation.en": "b", "translation.de": "B", "label": "1"}
    assert found[1].place == "hub:saved val row 1"
    assert opened["train"].digest() == opened["val"].digest()


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (
            "translation",
            {"source": "copa", "path": "x"},
            r"got 'copa' with task translation\n  allowed  builtin, text, tsv",
        ),
        ("classification", {"source": "text", "path": "x"}, r"allowed  builtin, tsv, jsonl, hub:NAME_OR_FOLDER"),
        ("classification", {"source": "jsnl", "path": "x"}, r"did you mean jsonl\?"),
        ("classification", {"source": "hub:"}, r"data.source: got 'hub:'"),
        ("classification", {"source": "tsv"}, r"data.path: source tsv needs a file"),
        ("classification", {"source": "builtin", "val_path": "x"}, r"data.val_path: got 'x'.*reads no files"),
        ("translation", {"source": "text", "path": "x"}, r"data.target_path: source text takes pairs"),
        (
            "translation",
            {"source": "text", "path": "x", "target_path": "y", "test_target_path": "z"},
            r"data.test_path: ",
        ),
        (
            "translation",
            {"source": "jsonl", "path": "x", "target_path": "y"},
            r"data.target_path: got 'y'.*in one file",
        ),
    ],
)
def test_settings_that_do_not_go_together(
    task: str, settings: dict[str, object], message: str, config: MakeRows
) -> None:
    with pytest.raises(UserError, match=message):
        open_rows(config(task, **settings))
