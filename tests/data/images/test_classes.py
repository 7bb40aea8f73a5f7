"""Names, colours and values of classes."""

from pathlib import Path

import numpy as np
import pytest

from lit_transformer.config.errors import UserError
from lit_transformer.data.images.classes import IGNORED, UNKNOWN, ClassList, check_num_classes, listed_classes

FILE = "0 Sky 128 128 128\n# comment\n\n1 traffic light 0 1 2\n2 Car 64 0 128\n"


def test_names_by_commas() -> None:
    assert listed_classes("sky, road,  car", None) == ClassList(names=("sky", "road", "car"))
    assert listed_classes("sky, road, void", 2) == ClassList(names=("sky", "road"), ignored=2)


def test_a_file_of_names_and_colours() -> None:
    Path("classes.txt").write_text(FILE)
    colors = ((128, 128, 128), (0, 1, 2), (64, 0, 128))
    assert listed_classes("classes.txt", None) == ClassList(names=("Sky", "traffic light", "Car"), colors=colors)
    Path("classes.txt").write_text(FILE + "255 void\n")
    assert listed_classes("classes.txt", 255) == ClassList(
        names=("Sky", "traffic light", "Car"), colors=colors, ignored=255
    )
    Path("classes.txt").write_text("0 a 1 2 3\n1 b\n")  # colours for all or for none
    assert listed_classes("classes.txt", None) == ClassList(names=("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 a\n2 b\n", r"classes\.txt: the classes have the indices 0, 2\n  allowed  0, 1, 2 \.\.\. without a gap"),
        ("0 a\n1 b\n255 void", r"classes\.txt: the classes have the indices 0, 1, 255"),
        ("0 a\n", r"classes\.txt: the classes have the indices 0\n"),
        ("", r"classes\.txt: the classes have the indices none"),
        ("0 a\n0 b\n", r"classes\.txt:2: the index 0 comes twice"),
        ("0 a\n1 a\n", r"classes\.txt: a class without a name, or a name that comes twice\n  got      a, a"),
        ("a 0\n", r"classes\.txt:1: no class\n  got      a 0\n  allowed  index name, or"),
        ("0\n", r"classes\.txt:1: no class"),
        ("0 a\n1 b 1 2 256\n", r"classes\.txt:2: no class"),
    ],
)
def test_files_that_are_wrong(text: str, message: str) -> None:
    Path("classes.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        listed_classes("classes.txt", None)


def test_names_that_are_wrong() -> None:
    Path("classes.txt").write_text(FILE)
    with pytest.raises(
        UserError, match=r"data\.classes: there is no file clases\.txt(.|\n)*did you mean .*classes\.txt"
    ):
        listed_classes("clases.txt", None)
    with pytest.raises(UserError, match=r"a name that comes twice\n  got      a, , b"):
        listed_classes("a,,b", None)


def test_tables_of_values() -> None:
    table = ClassList(names=("a", "b"), ignored=7).table()
    assert table.tolist() == [0, 1, *[UNKNOWN] * 5, IGNORED, *[UNKNOWN] * 248]
    assert ClassList(names=("a", "b"), ignored=0).table()[:3].tolist() == [IGNORED, 1, UNKNOWN]
    assert ClassList(names=("a", "b"), values={1: 1, 2: 0, 3: IGNORED}).table()[:5].tolist() == [
        UNKNOWN, 1, 0, IGNORED, UNKNOWN,
    ]  # fmt: skip
    unnamed = ClassList().table()
    assert np.array_equal(unnamed[:254], np.arange(254)) and unnamed[254:].tolist() == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("classes", "value", "allowed", "fix"),
    [
        (ClassList(names=("a", "b")), 2, "0 to 1\n", "name it in data.classes, or set data.ignore_index=2"),
        (ClassList(names=("a", "b"), ignored=255), 9, "0 to 1, and 255, ignored\n", "data.ignore_index=9"),
        (ClassList(values={1: 1, 3: 0}, names=("a", "b")), 2, "1, 3\n", "data.classes"),
        (ClassList(), 255, "0 to 253\n", "data.ignore_index=255 where such pixels count nowhere; a mask in black"),
    ],
)
def test_an_unknown_class_is_named_with_its_pixel(classes: ClassList, value: int, allowed: str, fix: str) -> None:
    raw = np.ones((4, 5), dtype=np.uint8)
    classes.check_mask(raw, classes.table(), "m.png")
    raw[2, 3] = raw[3, 1] = value
    with pytest.raises(UserError) as caught:
        classes.check_mask(raw, classes.table(), "m.png")
    text = str(caught.value)
    assert text.startswith("m.png: an unknown class at row 2, column 3, counted from 0 (2 such pixels)\n")
    assert f"  got      {value}\n" in text and f"  allowed  {allowed}" in text and fix in text


def test_the_number_of_classes() -> None:
    for fitting in (None, 1, 2):
        check_num_classes(fitting, ("a", "b"))
    check_num_classes(3, ("a", "b", "c"))
    for asked, names in ((3, ("a", "b")), (1, ("a", "b", "c")), (2, ("a", "b", "c"))):
        with pytest.raises(UserError, match=rf"model\.num_classes does not fit(.|\n)*got      {asked}\n(.|\n)*a, b"):
            check_num_classes(asked, names)
