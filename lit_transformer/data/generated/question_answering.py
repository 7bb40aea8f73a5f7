"""Questions about a person's day, each answered by one word of the context."""

from lit_transformer.data.generated.picks import Fields, Picks, draw_rows

FACTS: dict[str, tuple[str, ...]] = {
    "name": ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karl", "Leo"),
    "job": ("baker", "doctor", "farmer", "judge", "painter", "pilot", "sailor", "singer", "tailor", "teacher"),
    "town": ("Rome", "Paris", "Oslo", "Cairo", "Lima", "Delhi", "Bonn", "Kiel", "Prague", "Vienna", "Athens", "Dublin"),
    "thing": ("bike", "drum", "kite", "lamp", "boat", "coat", "clock", "piano", "ladder", "basket", "mirror", "tent"),
    "colour": ("red", "blue", "green", "black", "white", "yellow", "brown", "grey"),
    "animal": ("cat", "dog", "horse", "goat", "parrot", "rabbit", "mouse", "donkey", "goose", "pony"),
    "food": ("soup", "rice", "fish", "bread", "cheese", "salad", "pasta", "cake", "corn", "honey"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}

SENTENCES = (
    (
        "{name} works as a {job} in {town}.",
        "In {town} lives a {job} called {name}.",
        "The {job} from {town} is called {name}.",
    ),
    (
        "At home stands a {colour} {thing}.",
        "The {thing} at home is {colour}.",
        "There is a {thing} at home, a {colour} one.",
    ),
    ("The {animal} sleeps all day.", "All day the {animal} sleeps.", "Nobody wakes the {animal}."),
    ("On {day} there is {food}.", "There is {food} on {day}.", "For {day} there is only {food}."),
)
"""Of each group a context has one, and the groups come in any order."""

QUESTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("name", ("Who is the {job}?", "Who lives in {town}?")),
    ("job", ("What is the job of {name}?", "As what does {name} work?")),
    ("town", ("Where does {name} live?", "Where does the {job} work?")),
    ("thing", ("Which thing stands at home?", "Which thing is {colour}?")),
    ("colour", ("What colour is the {thing}?", "Which colour has the {thing}?")),
    ("animal", ("Which animal sleeps?", "Which animal does {name} have?")),
    ("food", ("What does {name} eat on {day}?", "What is there to eat on {day}?")),
    ("day", ("When is there {food}?", "On which day does {name} eat {food}?")),
)
"""Fact -> questions that it answers."""


def question_rows() -> dict[str, list[Fields]]:
    """`source` (`question: ... context: ...`), `target`, `question` and `context` of each split.

    A context has eight facts; the question's words say which of them answers it.
    """
    return draw_rows("question answering", _row, "source")


def _row(index: int, picks: Picks) -> Fields:
    facts = {fact: picks.one(words) for fact, words in FACTS.items()}
    sentences = [picks.one(group) for group in picks.some(SENTENCES, len(SENTENCES))]
    context = " ".join(sentences).format(**facts)
    answer, questions = QUESTIONS[index % len(QUESTIONS)]
    question = picks.one(questions).format(**facts)
    source = f"question: {question} context: {context}"
    return {"source": source, "target": facts[answer], "question": question, "context": context}
