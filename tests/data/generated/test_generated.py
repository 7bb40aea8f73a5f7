"""Generated data: enough, disjoint, balanced, the same everywhere, right by a second derivation, and not too easy."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter

import pytest

from lit_transformer.data.generated import GENERATED
from lit_transformer.data.generated.sentiment import ADJECTIVES

KEYS = {"translation": "source", "text_to_text": "source", "classification": "text", "multiple_choice": "context"}
DIGESTS = {
    "translation": "f4351c901d56a7cc",
    "text_to_text": "4b72656956f0bd61",
    "classification": "0557b7d7076a938e",
    "multiple_choice": "eb2544fafb161d61",
}
"""Of the rows as JSON: a change of the data makes old numbers incomparable, and must be meant."""


@pytest.mark.parametrize("task", KEYS)
def test_enough_rows_and_none_in_two_splits(task: str) -> None:
    splits = GENERATED[task]()
    assert len(splits["train"]) >= 5000
    assert len(splits["val"]) == len(splits["test"]) == 500
    keys = [row[KEYS[task]] for rows in splits.values() for row in rows]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("task", KEYS)
def test_the_rows_are_the_same_on_every_machine(task: str) -> None:
    raw = json.dumps(GENERATED[task](), sort_keys=True).encode()
    assert hashlib.blake2b(raw, digest_size=8).hexdigest() == DIGESTS[task]


def test_another_process_makes_the_same_rows() -> None:
    code = (
        "import json, hashlib; from lit_transformer.data.generated import GENERATED\n"
        "rows = json.dumps(GENERATED['classification'](), sort_keys=True)\n"
        "print(hashlib.blake2b(rows.encode(), digest_size=8).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == DIGESTS["classification"]


@pytest.mark.parametrize("task", ["classification", "multiple_choice"])
def test_labels_are_balanced(task: str) -> None:
    for rows in GENERATED[task]().values():
        assert set(Counter(row["label"] for row in rows).values()) == {len(rows) // 2}


def polarity(clause: str) -> int:
    words = clause.split()
    value = 1 if set(words) & set(ADJECTIVES[1]) else -1
    assert len(set(words) & {*ADJECTIVES[0], *ADJECTIVES[1]}) == 1
    return -value if set(words) & {"not", "never", "hardly"} else value


def sentiment(text: str) -> str:
    """The label by rule, from the text alone."""
    if denied := re.fullmatch(r"(nobody would say that|it is wrong that) (.*)", text):
        value = -polarity(denied[2])
    elif halves := re.fullmatch(r"although (.*), (.*)", text):
        value = polarity(halves[2])
    elif halves := re.fullmatch(r"(.*), although (.*)", text):
        value = polarity(halves[1])
    elif halves := re.fullmatch(r"(.*), (but|yet) (.*)", text):
        value = polarity(halves[3])
    elif halves := re.fullmatch(r"(.*) and (the .*)", text):
        assert polarity(halves[1]) == polarity(halves[2])
        value = polarity(halves[1])
    else:
        value = polarity(re.sub(r"^(I think|it is true that|as they say,) ", "", text))
    return "positive" if value > 0 else "negative"


def test_sentiment_follows_its_rule_and_no_count_of_words() -> None:
    splits = GENERATED["classification"]()
    assert all(sentiment(row["text"]) == row["label"] for rows in splits.values() for row in rows)
    guesses = []
    for row in splits["test"]:
        words = re.findall(r"\w+", row["text"])
        score = sum(word in ADJECTIVES[1] for word in words) - sum(word in ADJECTIVES[0] for word in words)
        guesses.append(0.5 if not score else float((score > 0) == (row["label"] == "positive")))
    assert sum(guesses) / len(guesses) < 0.6


def is_there(context: str, place: str) -> bool:
    """Whether the thing is in the place, from the sentence alone."""
    after = context.lower().split(place)[0].split()[-2:]
    came = "to" in after
    if re.search(r"wanted|forgot|without|left", context):
        return not came
    return came


def test_choices_follow_from_the_context_and_not_from_the_order() -> None:
    last = 0
    for rows in GENERATED["multiple_choice"]().values():
        for row in rows:
            places = [re.fullmatch(r"The (\w+) is in the (\w+)\.", row[f"choice{number}"]) for number in (1, 2)]
            assert all(found and found[1] in row["context"] and found[2] in row["context"] for found in places)
            names = [found[2] for found in places if found]
            assert [is_there(row["context"], name) for name in names] == [row["label"] == "0", row["label"] == "1"]
            last += max((0, 1), key=lambda index: row["context"].rindex(names[index])) == int(row["label"])
    assert 0.4 < last / 7000 < 0.6


FORMS = (
    r"(?P<name>\w+) works as a (?P<job>\w+) in (?P<town>\w+)\.",
    r"In (?P<town>\w+) lives a (?P<job>\w+) called (?P<name>\w+)\.",
    r"The (?P<job>\w+) from (?P<town>\w+) is called (?P<name>\w+)\.",
    r"At home stands a (?P<colour>\w+) (?P<thing>\w+)\.",
    r"The (?P<thing>\w+) at home is (?P<colour>\w+)\.",
    r"There is a (?P<thing>\w+) at home, a (?P<colour>\w+) one\.",
    r"(The|Nobody wakes the|All day the) (?P<animal>\w+)( sleeps all day| sleeps)?\.",
    r"(On|For) (?P<day>\w+) there is (only )?(?P<food>\w+)\.",
    r"There is (?P<food>\w+) on (?P<day>\w+)\.",
)
ASKED = {
    r"Who is the (?P<job>\w+)\?|Who lives in (?P<town>\w+)\?": "name",
    r"(What is the job of|As what does) (?P<name>\w+)( work)?\?": "job",
    r"Where does (?P<name>[A-Z]\w+) live\?|Where does the (?P<job>\w+) work\?": "town",
    r"Which thing (stands at home|is (?P<colour>\w+))\?": "thing",
    r"(What colour is|Which colour has) the (?P<thing>\w+)\?": "colour",
    r"Which animal (sleeps|does (?P<name>\w+) have)\?": "animal",
    r"What (does (?P<name>\w+)|is there to) eat on (?P<day>\w+)\?": "food",
    r"(When is there|On which day does (?P<name>\w+) eat) (?P<food>\w+)\?": "day",
}


def test_every_question_has_one_answer_and_it_stands_in_the_context() -> None:
    for rows in GENERATED["text_to_text"]().values():
        for row in rows:
            question, context = re.fullmatch(r"question: (.*) context: (.*)", row["source"]).groups()  # type: ignore[union-attr]
            matches = [match for form in FORMS for match in re.finditer(form, context)]
            facts = {name: word for match in matches for name, word in match.groupdict().items() if word}
            assert len(facts) == 8 and len(matches) == 4
            wanted = [(match, fact) for form, fact in ASKED.items() if (match := re.fullmatch(form, question))]
            assert len(wanted) == 1
            match, fact = wanted[0]
            assert {name: word for name, word in match.groupdict().items() if word}.items() <= facts.items()
            assert row["target"] == facts[fact]
            assert re.findall(r"\w+", context).count(row["target"]) == 1


def test_no_single_answer_is_common() -> None:
    counts = Counter(row["target"] for row in GENERATED["text_to_text"]()["test"])
    assert max(counts.values()) < 0.05 * 500
