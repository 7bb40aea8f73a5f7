"""Every number word is spelled right: parsers that know nothing of the speller read all of them back."""

import re

import pytest

from lit_transformer.data.generated.numbers import LIMIT, english, german, number_rows

JOINED = {"ein": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9}
"""Inside a word."""
LAST = {
    "eins": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6, "sieben": 7, "acht": 8, "neun": 9, "zehn": 10,
    "elf": 11, "zwölf": 12, "dreizehn": 13, "vierzehn": 14, "fünfzehn": 15, "sechzehn": 16, "siebzehn": 17,
    "achtzehn": 18, "neunzehn": 19,
}  # fmt: skip
TENS = {"zwanzig": 20, "dreißig": 30, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80,
        "neunzig": 90}  # fmt: skip
GERMAN = re.compile(
    r"((?P<thousands>{0})tausend)?((?P<hundreds>{0})hundert)?(((?P<units>{0})und)?(?P<tens>{1})|(?P<last>{2}))?".format(
        "|".join(JOINED), "|".join(TENS), "|".join(LAST)
    )
)
ENGLISH = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50,
    "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip


def read_german(word: str) -> int:
    if word == "null":
        return 0
    found = GERMAN.fullmatch(word)
    assert found and word, word
    parts = found.groupdict(default="")
    thousands, hundreds, units = (JOINED.get(parts[name], 0) for name in ("thousands", "hundreds", "units"))
    return 1000 * thousands + 100 * hundreds + TENS.get(parts["tens"], 0) + units + LAST.get(parts["last"], 0)


def read_english(words: str) -> int:
    total = part = 0
    for word in re.split(r"[ -]", words):
        if word == "thousand":
            total, part = 1000 * part, 0
        elif word == "hundred":
            part *= 100
        else:
            part += ENGLISH[word]
    return total + part


def test_every_number_reads_back() -> None:
    assert [read_german(german(number)) for number in range(LIMIT)] == list(range(LIMIT))
    assert [read_english(english(number)) for number in range(LIMIT)] == list(range(LIMIT))


@pytest.mark.parametrize(
    ("number", "words", "word"),
    [
        (0, "zero", "null"),
        (1, "one", "eins"),
        (16, "sixteen", "sechzehn"),
        (17, "seventeen", "siebzehn"),
        (21, "twenty-one", "einundzwanzig"),
        (30, "thirty", "dreißig"),
        (66, "sixty-six", "sechsundsechzig"),
        (77, "seventy-seven", "siebenundsiebzig"),
        (100, "one hundred", "einhundert"),
        (101, "one hundred one", "einhunderteins"),
        (1000, "one thousand", "eintausend"),
        (4321, "four thousand three hundred twenty-one", "viertausenddreihunderteinundzwanzig"),
        (9011, "nine thousand eleven", "neuntausendelf"),
    ],
)
def test_spelling(number: int, words: str, word: str) -> None:
    assert (english(number), german(number)) == (words, word)


def test_splits_share_no_number_and_leave_out_none() -> None:
    splits = number_rows()
    numbers = {split: [read_german(row["target"]) for row in rows] for split, rows in splits.items()}
    assert {split: len(found) for split, found in numbers.items()} == {"train": 9000, "val": 500, "test": 500}
    assert sorted(number for found in numbers.values() for number in found) == list(range(LIMIT))
    assert all(read_english(row["source"]) == read_german(row["target"]) for rows in splits.values() for row in rows)
    words = {word for row in splits["train"] for word in row["source"].replace("-", " ").split()}
    held = {word for split in ("val", "test") for row in splits[split] for word in row["source"].split()}
    assert {part for word in held for part in word.split("-")} <= words
