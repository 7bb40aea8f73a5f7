"""`classify` and `choose`: which class a text has, which choice goes with a context."""

from collections.abc import Sequence
from dataclasses import dataclass

from lit_transformer.config.errors import UserError
from lit_transformer.config.registry import TASK_OBJECTIVES
from lit_transformer.inference.given_rows import as_text, scores
from lit_transformer.inference.text_run import TextRun
from lit_transformer.records.atomic import read_json
from lit_transformer.records.run_folder import RunFolder


@dataclass(frozen=True)
class Choice:
    """What a run chose."""

    label: str
    """Name of the class, or the text of the choice."""
    probabilities: dict[str, float]
    """Of every class or choice, in the order of the labels; they sum to 1."""


def classify(
    run: TextRun,
    texts: Sequence[str],
    *,
    pairs: Sequence[str] | None = None,
    template: str | None = None,
    label_words: str | None = None,
) -> list[Choice]:
    """The class of each text; raises UserError.

    A run of the task classification knows its classes. Any language model that writes text can be asked too, by a
    template and the words that stand for the classes, of which the likeliest is taken.
    """
    own = run.config.task == "classification"
    if not own and (run.config.task != "language_model" or not _writes(run, "classification")):
        raise run.refuse("classify", "a classification run, or a GPT with --template and --labels", "fit sst2_bert")
    if own and run.config.objective.name == "label" and (template or label_words):
        raise UserError("--template and --labels\n  got      a run with a classifier's head, which knows its classes")
    if not own and not (template and label_words):
        raise UserError(
            "a language model needs a template and the words for the classes\n"
            f"  got      --template {template}, --labels {label_words}\n"
            '  fix      add --template "{text} It was" --labels "bad, good"'
        )
    config = as_text(run.config, "classification", template, label_words)
    known = _labels(run)
    names = [name.strip() for name in label_words.split(",")] if label_words else known
    if pairs is not None and len(pairs) != len(texts):
        raise UserError(f"--pair\n  got      {len(pairs)} for {len(texts)} texts\n  allowed  one for each text")
    rows = [{"text": text} for text in texts]
    if pairs is not None:
        rows = [{**row, "pair": pair} for row, pair in zip(rows, pairs, strict=True)]
    return [_choice(names, row.softmax(dim=-1).tolist()) for row in scores(run, config, rows, names)]


def choose(run: TextRun, context: str, choices: Sequence[str], *, template: str | None = None) -> Choice:
    """The choice that goes best with a context; raises UserError."""
    own = run.config.task == "multiple_choice"
    if not own and (run.config.task != "language_model" or not _writes(run, "multiple_choice")):
        raise run.refuse("choose", "a multiple_choice run, or any GPT", "fit gpt_choice_tiny")
    if len(choices) < 2:
        raise UserError(f"choose\n  got      {len(choices)} choice\n  allowed  two or more after the context")
    config = as_text(run.config, "multiple_choice", template or (None if own else "{context}"), None)
    row = {"context": context, **{f"choice{number}": text for number, text in enumerate(choices, start=1)}}
    return _choice(choices, scores(run, config, [row], ())[0].softmax(dim=-1).tolist())


def _labels(run: TextRun) -> list[str]:
    """Names of the classes that a run was trained on."""
    found = read_json(RunFolder(run.path).prepared_file).get("labels", [])
    return [str(name) for name in found] if isinstance(found, list) else []


def _writes(run: TextRun, task: str) -> bool:
    """Whether this kind of network answers the task as text."""
    return "text" in TASK_OBJECTIVES[task].get(run.config.model.kind, ())


def _choice(names: Sequence[str], probabilities: Sequence[float]) -> Choice:
    best = max(range(len(names)), key=lambda index: probabilities[index])
    return Choice(names[best], dict(zip(names, probabilities, strict=True)))
