"""A Naive Bayes baseline over words and pairs of words, counted in the classes of a training file."""

import csv
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path


def features(text: str, orders: int) -> list[str]:
    """Words of a text and, with 2 orders, its pairs of neighbours; each counts once."""
    words = text.lower().split()
    pairs = [f"{left} {right}" for left, right in pairwise(words)] if orders > 1 else []
    return list(dict.fromkeys(words + pairs))


def read(path: Path) -> list[tuple[str, str]]:
    """Texts and labels of a file with a tab between them."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[0], row[1]) for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def accuracy(train: Path, test: Path, *, orders: int) -> float:
    """Share of the test file's labels found, with one added to every count (Wang and Manning 2012, section 2.1)."""
    counts: dict[str, Counter[str]] = {}
    rows: Counter[str] = Counter()
    for text, label in read(train):
        counts.setdefault(label, Counter()).update(features(text, orders))
        rows[label] += 1
    vocabulary = set().union(*counts.values())
    totals = {label: sum(found.values()) + len(vocabulary) for label, found in counts.items()}

    def score(label: str, text: str) -> float:
        known = (word for word in features(text, orders) if word in vocabulary)
        return math.log(rows[label]) + sum(math.log((counts[label][word] + 1) / totals[label]) for word in known)

    tested = read(test)
    hits = sum(max(counts, key=lambda name: score(name, text)) == label for text, label in tested)
    return hits / len(tested)
