"""What `evaluate` saves of each row of a split, and what the paired bootstrap needs of it; torch-free."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_transformer.config.errors import UserError
from lit_transformer.records.atomic import write_text

PREDICTIONS_VERSION = 1

Prediction = dict[str, object]
"""One row: `row` (its number in the split), what was predicted, and the statistics of each metric, which add up."""


@dataclass(frozen=True)
class Predictions:
    """The rows of one run's split, by their number."""

    run: Path
    split: str
    rows: list[Prediction]
    """In ascending order of `row`; beside it stand `hypothesis` and `reference`, or `predicted` and `label`."""
    statistics: dict[str, NDArray[np.float64]]
    """Metric (`bleu`, `chrf`, `exact_match`, `f1`, `accuracy`, `mean_iou`) -> (rows, statistics) whose sums give it.

    Of bleu and chrf sacrebleu's; of mean_iou the flattened confusion matrix, rows the truth; else a sum and a count.
    """


def predictions_file(run: Path, split: str) -> Path:
    """One JSON object a line: the head (version, split), then a row each."""
    return run / "predictions" / f"{split}.jsonl"


def write_predictions(run: Path, split: str, rows: Sequence[Prediction]) -> Path:
    """Write rows in the order of their numbers, all or nothing; raises OSError."""
    path = predictions_file(run, split)
    head = {"version": PREDICTIONS_VERSION, "split": split, "rows": len(rows)}
    ordered = sorted(rows, key=lambda row: int(str(row["row"])))
    write_text(path, "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in [head, *ordered]))
    return path


def read_predictions(run: Path, split: str) -> Predictions:
    """What `evaluate --split` saved; raises UserError where it is missing, damaged or of another version."""
    path = predictions_file(run, split)
    if not path.is_file():
        raise UserError(
            f"{path} is not there\n  fix      save predictions with: lit-transformer evaluate {run} --split {split}"
        )
    try:
        head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if head["version"] != PREDICTIONS_VERSION or head["rows"] != len(rows):
            raise ValueError(f"version {head['version']}, {len(rows)} of {head['rows']} rows")
        statistics = _statistics(rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be used: it is damaged or of another version ({error})\n"
            f"  fix      save it again: lit-transformer evaluate {run} --split {split}"
        ) from None
    return Predictions(run, split, rows, statistics)


def _statistics(rows: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    names = list(rows[0]["statistics"]) if rows else []
    found = {name: np.array([row["statistics"][name] for row in rows], dtype=np.float64) for name in names}
    if any(array.ndim != 2 for array in found.values()):
        raise ValueError("rows have different statistics")
    return found


def paired_statistics(predictions: Sequence[Predictions], metric: str) -> list[NDArray[np.float64]]:
    """Statistics of a metric for the same rows of several runs, as the paired bootstrap takes them.

    Raises UserError where a run lacks the metric, or the runs were evaluated on other rows or other references.
    """
    first = predictions[0]
    for other in predictions:
        if metric not in other.statistics:
            known = ", ".join(other.statistics) or "none"
            raise UserError(f"the predictions of {other.run} have no {metric}\n  allowed  {known}")
        same = [row.get("row") for row in other.rows] == [row.get("row") for row in first.rows]
        for key in ("reference", "label"):
            same = same and [row.get(key) for row in other.rows] == [row.get(key) for row in first.rows]
        if not same or other.statistics[metric].shape != first.statistics[metric].shape:
            raise UserError(
                f"{first.run} and {other.run} were not evaluated on the same rows of the {first.split} split\n"
                "  fix      compare runs of the same data, each after lit-transformer evaluate RUN"
            )
    return [each.statistics[metric] for each in predictions]
