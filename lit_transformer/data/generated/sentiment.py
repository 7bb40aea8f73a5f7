"""Remarks on films, negative or positive: what counts is who says not, and which half of the sentence is meant."""

from lit_transformer.data.generated.picks import Fields, Picks, draw_rows

LABELS = ("negative", "positive")

TOPICS = (
    "plot", "acting", "music", "ending", "dialogue", "cast", "pace", "camera", "script", "humour", "opening", "story",
)  # fmt: skip
ADJECTIVES = (
    ("bad", "dull", "boring", "silly", "weak", "tired", "clumsy", "awful"),
    ("good", "great", "funny", "clever", "moving", "charming", "fresh", "brilliant"),
)
"""Negative ones, positive ones."""
DEGREES = ("", "", "very ", "really ", "quite ", "rather ", "truly ")
NEGATIONS = ("not ", "never ", "hardly ")
DENIED_DEGREES = ("", "", "very ", "really ", "all that ")
TURNS = ("but", "yet")
FRAMES = ("{}", "{}", "I think {}", "it is true that {}", "as they say, {}")
DENIALS = ("nobody would say that {}", "it is wrong that {}")


def sentiment_rows() -> dict[str, list[Fields]]:
    """`text` and `label` of each split, both labels equally often.

    A negation turns a clause round, `but` and `although` leave the other clause to decide, a denial turns the whole.
    """
    return draw_rows("sentiment", _row, "text")


def _row(index: int, picks: Picks) -> Fields:
    label = index % 2
    shape = picks.one(("one", "one", "and", "but", "although", "although after", "denied"))
    first, second = picks.some(TOPICS, 2)
    if shape == "one":
        text = picks.one(FRAMES).format(_clause(first, label, picks))
    elif shape == "denied":
        text = picks.one(DENIALS).format(_clause(first, 1 - label, picks))
    elif shape == "and":
        text = f"{_clause(first, label, picks)} and {_clause(second, label, picks)}"
    elif shape == "but":
        text = f"{_clause(first, 1 - label, picks)}, {picks.one(TURNS)} {_clause(second, label, picks)}"
    else:
        yielding, meant = f"although {_clause(first, 1 - label, picks)}", _clause(second, label, picks)
        text = f"{yielding}, {meant}" if shape == "although" else f"{meant}, {yielding}"
    return {"text": text, "label": LABELS[label]}


def _clause(topic: str, polarity: int, picks: Picks) -> str:
    """The topic was good, or not good, or very bad: two times out of three without a negation."""
    negation = picks.one(("", "", picks.one(NEGATIONS)))
    adjective = picks.one(ADJECTIVES[1 - polarity if negation else polarity])
    degree = picks.one(DENIED_DEGREES if negation else DEGREES)
    return f"the {topic} was {negation}{degree}{adjective}"
