"""Fields become columns, empty rows are dropped or refused, splits keep what they are given."""

from collections.abc import Callable, Sequence

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig, ExperimentConfig
from lit_transformer.data.rows.examples import Example, find_keys, read_examples
from lit_transformer.data.rows.row import ListRows, Row
from lit_transformer.data.rows.splits import split_examples

MakeRows = Callable[..., ExperimentConfig]


def read(made: ExperimentConfig, *fields: dict[str, str]) -> tuple[list[Example], int]:
    source = ListRows([Row(row, f"file:{number}") for number, row in enumerate(fields, start=1)])
    return read_examples(source, find_keys(made.data, made.task), made.data)


def test_keys_name_the_columns(config: MakeRows) -> None:
    made = config("translation", source="jsonl", source_key="t.en", target_key="t.de")
    (example,), _ = read(made, {"t.en": "a ", "t.de": "b", "x": "y"})
    assert example.texts == {"source": "a ", "target": "b"}
    made = config("classification", source="tsv", text_key="1", pair_key="3", label_key="2")
    (example,), _ = read(made, {"1": "a", "2": " yes ", "3": "b"})
    assert (example.texts, example.label) == ({"text": "a", "pair": "b"}, "yes")
    assert dict(example.fields("2")) == {"1": "a", "3": "b", "text": "a", "pair": "b"}
    made = config("multiple_choice", source="jsonl", context_key="q", choice_keys="o.0,o.1, o.2", label_key="a")
    (example,), _ = read(made, {"q": "?", "o.0": "x", "o.1": "y", "o.2": "z", "a": "2"})
    assert (list(example.texts), example.label) == (["context", "choice1", "choice2", "choice3"], "2")


@pytest.mark.parametrize(
    ("settings", "row", "message"),
    [
        (
            {"text_key": "txt"},
            {"text": "a", "label": "b"},
            r"file:1: no field 'txt'\n.*data.text_key=txt\n  allowed  text, label\n.*did you mean data.text_key=text\?",
        ),
        (
            {"label_key": "class"},
            {"text": "a", "lab": "b"},
            r"no field 'class'(.|\n)*set data.label_key to one of them",
        ),
        ({}, {"1": "a", "2": "b"}, r"no field 'text'(.|\n)*name a column by its number, or set data.header=true"),
        ({}, {"text": "a", "label": " "}, r"file:1: the row has no label"),
        ({"label_key": "2", "text_key": "1"}, {"1": "a"}, r"file:1: no field '2'\n.*data.label_key=2\n  allowed  1"),
    ],
)
def test_missing_fields(settings: dict[str, object], row: dict[str, str], message: str, config: MakeRows) -> None:
    with pytest.raises(UserError, match=message):
        read(config("classification", source="tsv", **settings), row)


def test_choice_keys_name_two_fields_or_more(config: MakeRows) -> None:
    for keys in ("one", "one,", ""):
        with pytest.raises(UserError, match=r"data.choice_keys: got .*\n  allowed  two names or more"):
            read(config("multiple_choice", source="jsonl", choice_keys=keys), {"context": "a"})


def test_empty_rows_are_dropped_or_refused(config: MakeRows) -> None:
    given = ({"source": "a", "target": "b"}, {"source": "a", "target": " \u2003"}, {}, {"source": "", "target": "b"})
    examples, dropped = read(config("translation", source="jsonl"), *given)
    assert ([example.row.place for example in examples], dropped) == (["file:1"], 3)
    refused = config("translation", source="jsonl", empty="refuse")
    with pytest.raises(UserError, match=r"file:2: the target is empty(.|\n)*data.empty=drop"):
        read(refused, *given)
    with pytest.raises(UserError, match=r"file:1: an empty line"):
        read(refused, {})


def test_max_bytes_takes_whole_rows(config: MakeRows) -> None:
    given = [{"source": "é", "target": "b"}] * 5  # 3 bytes each
    for limit, count in ((3, 1), (8, 2), (9, 3), (2, 0), (None, 5)):
        assert len(read(config("translation", source="jsonl", max_bytes=limit), *given)[0]) == count


def examples(texts: Sequence[str]) -> list[Example]:
    return [Example({"text": text}, "x", Row({}, f"file:{index}")) for index, text in enumerate(texts)]


def test_shares_are_held_out_by_hash() -> None:
    given = examples([f"row {index}" for index in range(1000)])
    splits = split_examples({"train": given}, DataConfig(source="tsv", val_fraction=0.1, test_fraction=0.2))
    assert {name: len(part) for name, part in splits.items()} == {"train": 700, "val": 100, "test": 200}
    texts = {name: [example.texts["text"] for example in part] for name, part in splits.items()}
    assert sorted(text for part in texts.values() for text in part) == sorted(row.texts["text"] for row in given)
    places = [int(example.row.place[5:]) for example in splits["val"]]
    assert places == sorted(places)
    assert 400 < sum(places) / len(places) < 600  # from everywhere
    again = split_examples({"train": given[::-1]}, DataConfig(source="tsv", val_fraction=0.1, test_fraction=0.2))
    assert {example.texts["text"] for example in again["val"]} == set(texts["val"])


def test_rows_with_the_same_texts_stay_on_one_side_and_stay() -> None:
    given = examples([f"row {index % 50}" for index in range(400)])
    splits = split_examples({"train": given}, DataConfig(source="tsv", val_fraction=0.1, test_fraction=0.1))
    found = {name: {example.texts["text"] for example in part} for name, part in splits.items()}
    assert not found["train"] & found["val"] and not found["train"] & found["test"] and not found["val"] & found["test"]
    assert sum(map(len, splits.values())) == 400
    assert {name: len(part) for name, part in splits.items()} == {"train": 320, "val": 40, "test": 40}


def test_rows_that_are_all_the_same_cannot_be_split() -> None:
    with pytest.raises(UserError, match="the training split of 9 rows is empty"):
        split_examples({"train": examples(["a"] * 9)}, DataConfig(source="tsv"))


def test_given_splits_keep_every_row() -> None:
    train, val = examples(["a", "b", "b", "c"]), examples(["b", "z"])
    splits = split_examples({"train": train, "val": val}, DataConfig(source="tsv", test_fraction=0))
    assert splits == {"train": train, "val": val, "test": []}


def test_copa_is_cut_in_order() -> None:
    given = examples([str(index) for index in range(10)])
    data = DataConfig(source="copa", val_fraction=0.2, test_fraction=0.3)
    splits = split_examples({"train": given}, data)
    assert [[example.texts["text"] for example in part] for part in splits.values()] == [
        list("01234"),
        list("56"),
        list("789"),
    ]


@pytest.mark.parametrize(
    ("count", "settings", "message"),
    [
        (0, {}, "there are no rows to train on"),
        (3, {}, r"the test split is empty: 0.1 of 3 rows\n.*raise data.test_fraction"),
        (5, {"val_fraction": 0.05, "test_fraction": 0.0}, "the val split is empty: 0.05 of 5 rows"),
        (
            9,
            {"val_fraction": 0.0},
            r"the validation split of 9 rows is empty \(data.val_fraction=0.0, data.val_path=None",
        ),
        (1, {"val_fraction": 0.9, "test_fraction": 0.0}, "the training split of 1 rows is empty"),
    ],
)
def test_splits_that_are_empty(count: int, settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_examples(
            {"train": examples([str(index) for index in range(count)])}, DataConfig(source="tsv", **settings)
        )  # type: ignore[arg-type]
