"""Preparing as a step of its own, before any trial: tokenizer, token cache and the values that follow from them.

`python -m lit_transformer.training.prepare REQUEST.json ANSWER.json` prepares the cells of a sweep. Imports no torch,
unless there is a budget to solve.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from lit_transformer.config.errors import UserError
from lit_transformer.config.load import from_plain, with_values
from lit_transformer.config.models import SegmenterConfig
from lit_transformer.config.schema import ExperimentConfig, TextModelConfig
from lit_transformer.data.images.prepared import PreparedImages
from lit_transformer.data.prepare import Progress, prepare_data
from lit_transformer.data.prepared import Prepared as PreparedData
from lit_transformer.data.prepared_rows import PreparedRows
from lit_transformer.records.atomic import write_json
from lit_transformer.training.solve import solve


@dataclass(frozen=True)
class Prepared:
    """An experiment that is ready to be frozen."""

    config: ExperimentConfig
    derived: dict[str, object]
    """Dotted key -> the value that the data or a budget decided."""
    solved: dict[str, object]
    """Those of them that a budget decided."""
    data: dict[str, object]
    """What prepared.json of the run holds."""


def prepare(config: ExperimentConfig, *, progress: Progress | None = None) -> Prepared:
    """Prepare an experiment's data and fill in what follows from them; raises UserError."""
    return _with_data(config, prepare_data(config, progress=progress))


def _with_data(config: ExperimentConfig, found: PreparedData) -> Prepared:
    derived = _derived(config, found)
    config = with_values(config, derived)
    solved = solve(config, found)
    data: dict[str, object] = {**vars(found), "folder": str(found.folder)}
    return Prepared(with_values(config, solved), derived | solved, solved, data)


def _derived(config: ExperimentConfig, data: PreparedData) -> dict[str, object]:
    model = config.model
    if isinstance(data, PreparedImages):
        assert isinstance(model, SegmenterConfig)
        return {} if model.num_classes else {"model.num_classes": len(data.classes)}  # a given one has been checked
    assert isinstance(model, TextModelConfig)
    derived: dict[str, object] = {}
    if model.vocab_size is None:
        derived["model.vocab_size"] = data.vocab_size
    elif model.vocab_size < data.vocab_size:
        raise UserError(
            "model.vocab_size is too small\n"
            f"  got      {model.vocab_size}\n"
            f"  allowed  {data.vocab_size} or more, since the tokenizer has {data.vocab_size} entries\n"
            "  fix      model.vocab_size=null takes the tokenizer's"
        )
    if config.task == "classification" and isinstance(data, PreparedRows):
        derived |= _classes(model.num_classes, data.labels)
    return derived


def _classes(asked: int | None, labels: tuple[str, ...]) -> dict[str, object]:
    if asked is None or asked == len(labels):
        return {"model.num_classes": len(labels)}
    raise UserError(
        "model.num_classes does not fit the data\n"
        f"  got      {asked}\n"
        f"  allowed  {len(labels)}: {', '.join(labels[:10])}\n"
        "  fix      model.num_classes=null takes the data's"
    )


def main(request: str, answer: str) -> int:
    """Prepare every cell of a request; a cell's problem is an answer and stops no other.

    Request: {"cells": [{"cell": id, "config": nested config}]}. Answer: {"cells": {id: {"derived": {key: value},
    "solved": the part of it that budgets decided, "prepared": {...}, "problem": null or text}}}.
    """
    cells = json.loads(Path(request).read_text(encoding="utf-8"))["cells"]
    known: dict[str, PreparedData | UserError] = {}
    answers = {}
    for cell in cells:
        config = from_plain(cell["config"])
        model = config.model
        names = ("context_length", "vocab_size", "in_channels", "num_classes", "num_stages")
        shape = [getattr(model, name, None) for name in names]  # what the data are checked against
        same = {name: cell["config"][name] for name in ("task", "data", "objective")}
        key = json.dumps([same, model.kind, model.init_from, shape])
        if key not in known:
            known[key] = _found(config)
        answers[cell["cell"]] = _answer(config, known[key])
    write_json(Path(answer), {"cells": answers})
    return 0


def _found(config: ExperimentConfig) -> PreparedData | UserError:
    from lit_transformer.training.prepare_progress import shown_progress

    try:
        with shown_progress() as progress:
            return prepare_data(config, progress=progress)
    except UserError as error:
        return error


def _answer(config: ExperimentConfig, found: PreparedData | UserError) -> dict[str, object]:
    try:
        if isinstance(found, UserError):
            raise found
        done = _with_data(config, found)
    except UserError as error:
        return {"derived": {}, "solved": {}, "prepared": {}, "problem": str(error)}
    return {"derived": done.derived, "solved": done.solved, "prepared": done.data, "problem": None}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
