"""Labels are numbered in the order of their names, whatever the order of the rows."""

import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.data.rows.examples import Example
from lit_transformer.data.rows.labels import choice_ids, label_ids, label_names, label_order, majority
from lit_transformer.data.rows.row import Row


def labelled(*labels: str) -> list[Example]:
    return [Example({"text": "a"}, label, Row({}, f"file:{number}")) for number, label in enumerate(labels, start=1)]


def test_order_is_by_name_or_by_number() -> None:
    assert label_order(labelled("pos", "neg", "pos")) == ["neg", "pos"]
    assert label_order(labelled("10", "9", "-1", "10")) == ["-1", "9", "10"]
    assert label_order(labelled("10", "9", "b")) == ["10", "9", "b"]
    with pytest.raises(UserError, match=r"one label alone: a\n  allowed  two labels or more"):
        label_order(labelled("a", "a"))


def test_numbers_names_and_the_commonest() -> None:
    ids = label_ids(labelled("b", "a", "b"), ["a", "b"], "val")
    assert ids.tolist() == [1, 0, 1]
    assert majority(ids) == 2 / 3
    assert majority(ids[:0]) == 0
    assert majority(["red", "a cat", "red", "a dog"]) == 0.5
    assert label_names(["0", "1"], None) == ("0", "1")
    assert label_names(["0", "1"], " bad, very good") == ("bad", "very good")


@pytest.mark.parametrize("words", ["good", "a, b, c", "a, a", "a,", ""])
def test_words_that_do_not_fit_the_labels(words: str) -> None:
    with pytest.raises(UserError, match=r"objective.label_words: got .*\n  allowed  a different word .* order 0, 1"):
        label_names(["0", "1"], words)


def test_a_label_that_training_does_not_have() -> None:
    message = (
        r"file:2: a label of the test split that no training row has\n  got      'positiv'\n"
        r"  allowed  negative, positive\n  fix      did you mean positive\?"
    )
    with pytest.raises(UserError, match=message):
        label_ids(labelled("positive", "positiv"), ["negative", "positive"], "test")


def test_choices_are_numbered_from_0() -> None:
    assert choice_ids(labelled("0", "2"), 3).tolist() == [0, 2]
    for wrong in ("3", "-1", "one", "1.0", "٢"):
        with pytest.raises(
            UserError, match=r"file:2: there is no such choice\n  got      '.*'\n  allowed  0, 1, 2: the"
        ):
            choice_ids(labelled("0", wrong), 3)
