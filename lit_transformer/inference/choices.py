"""`classify` and `choose`: which class a text has, which choice goes with a context."""

from collections.abc import Sequence
from dataclasses import dataclass

from lit_transformer.config.errors import UserError
from lit_transformer.config.suggest import did_you_mean
from lit_transformer.data.rows.copa import CONNECTORS, with_connector
from lit_transformer.inference.given_rows import Scorer, as_text
from lit_transformer.inference.lines import Report
from lit_transformer.inference.text_run import TextRun
from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import RunFolder
from lit_transformer.training.resume import tell


@dataclass(frozen=True)
class Choice:
    """What a run chose."""

    label: str
    """Name of the class, or the text of the choice."""
    probabilities: dict[str, float]
    """Of every class or choice, in the order of the labels; they sum to 1."""


class TextClassifier:
    """A run of the task classification, or a GPT that is asked by a template and words for the classes.

    Raises UserError for another run, and for options that do not go with it.
    """

    def __init__(self, run: TextRun, *, template: str | None = None, labels: str | None = None) -> None:
        own = run.config.task == "classification"
        if not own and not run.writes:
            raise run.refuse("classify", "a run of the task classification, or a GPT with --template and --labels")
        if own and run.config.objective.name == "label" and (template or labels):
            raise _head_knows("--template" if template else "--labels")
        if not own and not (template and labels):
            raise UserError(
                "a GPT that was not trained to classify needs a template, and the words for the classes\n"
                f"  got      --template {template}, --labels {labels}\n"
                '  fix      add --template "{text} It was" --labels "bad, good"'
            )
        self._names = _label_words(labels) if labels else _trained_labels(run)
        self._scorer = Scorer(run=run, config=as_text(run.config, "classification", template), labels=self._names)
        self._paired = "pair" in self._scorer.columns
        self._texts = self._truncated = 0

    def classify(
        self, texts: Sequence[str], progress: Report | None = None, *, pairs: Sequence[str] | None = None
    ) -> list[Choice | None]:
        """The class of each text; None of an empty one.

        Where the run reads two texts, the second ones are the pairs, or follow the first ones after a tab. Raises
        UserError where they are missing or too many.
        """
        if pairs is not None and len(pairs) != len(texts):
            raise UserError(f"--pair\n  got      {len(pairs)} for {len(texts)} texts\n  allowed  one for each text")
        places = [f"text {self._texts + number}" for number in range(1, len(texts) + 1)]
        self._texts += len(texts)
        seconds = pairs if pairs is not None else [None] * len(texts)
        rows = [self._row(*row) if row[0].strip() else {} for row in zip(texts, seconds, places, strict=True)]
        full = [index for index, row in enumerate(rows) if row]
        if not full:
            return [None] * len(texts)
        scores, truncated = self._scorer.scores([rows[i] for i in full], [places[i] for i in full], progress)
        self._truncated += truncated
        found = iter(scores.softmax(dim=-1).tolist())
        return [_choice(self._names, next(found)) if row else None for row in rows]

    def tell_truncated(self) -> None:
        """Say on standard error how many texts were cut, if any."""
        if self._truncated:
            room = self._scorer.run.context_length
            tell(f"texts cut to model.context_length={room}, special tokens included: {self._truncated:,}")

    def _row(self, text: str, pair: str | None, place: str) -> dict[str, str]:
        """The text by column, and its pair where there are two."""
        if pair is not None and (self._paired or not self._scorer.own):
            return {"text": text, "pair": pair}
        if pair is not None:
            raise UserError("--pair\n  got      a run that was trained on single texts\n  fix      leave it out")
        if not self._paired:
            return {"text": text}
        first, tab, second = text.partition("\t")
        if not tab:
            raise UserError(
                f"{place} has no second text, and the run was trained on pairs (data.pair_key)\n"
                f"  got      {text[:60]!r}\n  allowed  two texts with a tab between them, or --pair SECOND"
            )
        return {"text": first, "pair": second}


def choose(
    run: TextRun, context: str, choices: Sequence[str], *, template: str | None = None, question: str | None = None
) -> Choice:
    """The choice that goes best with a context, by a run of the task multiple_choice or a GPT; raises UserError.

    With a question, `cause` or `effect`, the context is a premise of COPA's, and gets the word that its reader adds.
    """
    own = run.config.task == "multiple_choice"
    if not own and not run.writes:
        raise run.refuse("choose", "a run of the task multiple_choice, or a GPT")
    if own and run.config.objective.name == "label" and template:
        raise _head_knows("--template")
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise UserError(f"choose\n  got      {', '.join(choices)}\n  allowed  two different choices or more")
    if not all(text.strip() for text in (context, *choices)):
        raise UserError("choose\n  got      an empty text\n  allowed  a context and choices that are not blank")
    if question is not None:
        context = with_connector(context, _known_question(question))
    config = as_text(run.config, "multiple_choice", template or (None if own else "{context}"))
    row = {"context": context, **{f"choice{number}": text for number, text in enumerate(choices, start=1)}}
    scores, truncated = Scorer(run=run, config=config).scores([row], ["the context"])
    if truncated:
        tell(f"the context is cut: with a choice it is longer than model.context_length={run.context_length}")
    return _choice(choices, scores[0].softmax(dim=-1).tolist())


def _known_question(question: str) -> str:
    if question in CONNECTORS:
        return question
    near = did_you_mean(question, CONNECTORS)
    raise UserError(
        f"--question\n  got      {question}\n  allowed  {', '.join(CONNECTORS)}"
        + (f"\n  fix      did you mean {near}?" if near else "")
    )


def _trained_labels(run: TextRun) -> list[str]:
    """Names of the classes that a run was trained on, in order."""
    found = read_json(RunFolder(run.path).prepared_file).get("labels", [])
    return [str(name) for name in found] if isinstance(found, list) else []


def _label_words(given: str) -> list[str]:
    names = [name.strip() for name in given.split(",")]
    if len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise UserError(f"--labels\n  got      {given}\n  allowed  two different words or more, separated by commas")
    return names


def _head_knows(option: str) -> UserError:
    return UserError(
        f"{option}\n  got      a run with a head of its own, which reads no template and knows its classes\n"
        "  fix      leave it out, or ask a GPT without a head"
    )


def _choice(names: Sequence[str], probabilities: Sequence[float]) -> Choice:
    best = max(range(len(names)), key=lambda index: probabilities[index])
    return Choice(names[best], dict(zip(names, probabilities, strict=True)))
