"""Questions about a context of several facts, each answered by one word of it."""

from lit_transformer.data.generated.picks import Fields, Picks, draw_rows

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karl", "Leo")
TOWNS = ("Rome", "Paris", "Oslo", "Cairo", "Lima", "Delhi", "Bonn", "Kiel", "Prague", "Vienna", "Athens", "Dublin")
THINGS = ("bike", "drum", "kite", "lamp", "boat", "coat", "clock", "piano", "ladder", "basket", "mirror", "tent")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "grey")

PEOPLE = 3
"""People in a context; each has a town, a thing and a colour that no other has."""

SENTENCES = (
    "{name} lives in {town} and has a {colour} {thing}.",
    "{name} has a {colour} {thing} and lives in {town}.",
    "In {town} lives {name} with a {colour} {thing}.",
    "The {colour} {thing} belongs to {name} from {town}.",
)
QUESTIONS = (
    ("Where does {name} live?", "town"),
    ("What does {name} have?", "thing"),
    ("Who has the {thing}?", "name"),
    ("Who lives in {town}?", "name"),
    ("What colour is the {thing}?", "colour"),
    ("Where is the {colour} {thing}?", "town"),
)
"""A question and the fact that answers it."""


def question_rows() -> dict[str, list[Fields]]:
    """`source` (`question: ... context: ...`), `target`, `question` and `context` of each split."""
    return draw_rows("question answering", _row, "source")


def _row(index: int, picks: Picks) -> Fields:
    pools = {"name": NAMES, "town": TOWNS, "thing": THINGS, "colour": COLOURS}
    drawn = {fact: picks.some(pool, PEOPLE) for fact, pool in pools.items()}
    people = [{fact: values[person] for fact, values in drawn.items()} for person in range(PEOPLE)]
    context = " ".join(picks.one(SENTENCES).format(**person) for person in people)
    words, answer = QUESTIONS[index % len(QUESTIONS)]
    asked = picks.one(people)
    question = words.format(**asked)
    source = f"question: {question} context: {context}"
    return {"source": source, "target": asked[answer], "question": question, "context": context}
