"""Splits leak nothing and come close to their shares."""

import random

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.config.schema import DataConfig
from lit_transformer.data.splits import split_documents


def documents(count: int, seed: int = 0, longest: int = 2000) -> list[str]:
    generator = random.Random(seed)
    return [f"{index} " + "é" * generator.randint(1, longest) for index in range(count)]


def size(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


@pytest.mark.parametrize("count", [10, 100, 1000])
@pytest.mark.parametrize(("val", "test"), [(0.1, 0.1), (0.2, 0.0), (0.05, 0.3)])
def test_whole_documents_close_to_the_shares(count: int, val: float, test: float) -> None:
    texts = documents(count)
    splits = split_documents(texts, None, None, DataConfig(val_fraction=val, test_fraction=test))
    assert sorted(splits.train + splits.val + splits.test) == sorted(texts)  # each in exactly one
    largest = max(len(text.encode()) for text in texts)
    assert abs(size(splits.val) - val * size(texts)) <= largest / 2
    assert abs(size(splits.test) - test * size(texts)) <= largest / 2
    assert splits.several


def test_a_split_depends_on_content_alone() -> None:
    texts = documents(200)
    mixed = random.Random(1).sample(texts, len(texts))
    one, other = (split_documents(given, None, None, DataConfig()) for given in (texts, mixed))
    assert {name: set(found) for name, found in one.items()} == {name: set(found) for name, found in other.items()}
    assert one.train == [text for text in texts if text in set(one.train)]  # the order of the corpus


def test_repeated_documents_count_once() -> None:
    texts = documents(50)
    splits = split_documents([*texts, *texts, "  \n"], None, None, DataConfig())
    assert sorted(splits.train + splits.val + splits.test) == sorted(texts)


def test_documents_of_given_splits_leave_training() -> None:
    texts = documents(30)
    splits = split_documents(texts, texts[:5] + texts[:1], texts[3:8], DataConfig())
    assert splits.test == texts[3:8]
    assert splits.val == texts[:3]  # what is tested is not validated either
    assert splits.train == texts[8:]


@pytest.mark.parametrize("length", [10, 11, 101, 1_115_394])
def test_a_single_text_is_cut_as_nanogpt_does(length: int) -> None:
    text = "".join(random.Random(2).choices("abé\n", k=length))
    splits = split_documents([text], None, None, DataConfig(val_fraction=0.1, test_fraction=0))
    assert splits.train == [text[: int(length * 0.9)]]
    assert splits.val == [text[int(length * 0.9) :]]
    assert splits.test == []
    assert not splits.several


def test_a_single_text_ends_with_its_test_part() -> None:
    text = "".join(map(str, range(1000)))
    splits = split_documents([text], None, None, DataConfig(val_fraction=0.2, test_fraction=0.1))
    assert splits.train[0] + splits.val[0] + splits.test[0] == text
    assert [len(part) for part in (splits.train[0], splits.val[0])] == [2023, 578]


@pytest.mark.parametrize(
    ("texts", "settings", "message"),
    [
        ([], {}, "corpus is empty: 0 documents"),
        (["", " \n"], {}, "corpus is empty: 2 documents, all blank"),
        (["abcdefgh"], {"val_fraction": 0.1, "test_fraction": 0}, None),
        (["abcd" * 25], {"val_fraction": 0.001, "test_fraction": 0.105}, "val split is empty.*single text"),
        (documents(3, longest=1), {"val_fraction": 0.01}, "val split is empty.*3 documents; the smallest document is"),
        (documents(4, longest=1), {"val_fraction": 0.25, "test_fraction": 0.01}, "test split is empty"),
        (["abcdefgh" * 9], {"val_fraction": 0.0}, "validation split is empty"),
        (["abcdefgh"], {"val_fraction": 0.6, "test_fraction": 0.4}, "leave something to train on"),
        (["abcdefgh"], {"val_fraction": -0.1}, "at least 0"),
        (["a"], {"val_fraction": 0.5}, "train split is empty"),
    ],
)
def test_what_cannot_be_split(texts: list[str], settings: dict[str, float], message: str | None) -> None:
    data = DataConfig(**settings)  # type: ignore[arg-type]
    if message is None:
        assert split_documents(texts, None, None, data).val
        return
    with pytest.raises(UserError, match=message):
        split_documents(texts, None, None, data)


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(UserError, match=r"nothing is left to train on"):
        split_documents(["same"], ["same"], None, DataConfig())
