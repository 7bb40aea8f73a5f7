"""Runs on the same rows of a split: the paired bootstrap of the predictions that `evaluate` saved."""

import os
from dataclasses import dataclass

import pandas as pd

from lit_transformer.compare.bootstrap import SCORES, paired_bootstrap, ratio
from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.judging import with_standings
from lit_transformer.compare.statistics import ranked, rows_of, summarise
from lit_transformer.compare.style import behind_text, interval_text
from lit_transformer.config.errors import UserError
from lit_transformer.records.predictions import Predictions, paired_statistics, predictions_file, read_predictions

SPLITS = ("test", "val")
MAX_RUNS = 32
"""Runs compared with one another, the best ones by the comparison's metric."""
MAX_LISTED = 4


@dataclass(frozen=True)
class Paired:
    """One metric of the runs that were evaluated on the same rows."""

    metric: str
    """With its split: test/bleu."""
    rows: int
    runs: pd.DataFrame
    """`run`, `value` with its own 95 % interval `low` `high`, and `behind` `behind_low` `behind_high` `p` `standing` as
    in `judging.Judged`, best first: all over other draws of rows, not other seeds."""


@dataclass(frozen=True)
class OnRows:
    """What the saved predictions of a comparison's runs say."""

    metrics: tuple[Paired, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be compared, in words."""


def compare_on_rows(comparison: Comparison) -> OnRows:
    """Every metric of which two runs or more saved the statistics of their rows."""
    names = ranked(summarise(comparison.runs, ["run"], comparison.metric), comparison.goal)["run"].tolist()
    found: list[Paired] = []
    notes: list[str] = []
    for split in SPLITS:
        saved: dict[str, Predictions] = {}
        for run in names:
            path = comparison.directory / run
            there = not os.path.islink(path) and os.path.isfile(predictions_file(path, split))  # False where not ours
            if there and len(saved) < MAX_RUNS:
                try:
                    saved[run] = read_predictions(path, split)
                except UserError as error:
                    notes.append(str(error).splitlines()[0])
        if len(saved) < 2:
            continue
        for metric in next(iter(saved.values())).statistics:
            try:
                found.append(_compared(saved, split, metric))
            except (UserError, ValueError) as error:
                notes.append(f"{split}/{metric}: {str(error).splitlines()[0]}")
    return OnRows(tuple(found), tuple(notes))


def lines_of(on_rows: OnRows) -> list[str]:
    """Each metric in a sentence or two of plain text, then the notes."""
    said = []
    for each in on_rows.metrics:
        best, *others = rows_of(each.runs)
        told = [f"{row['run']} by {behind_text(each.metric, row)}" for row in others if row["standing"] == "worse"]
        tied = [str(row["run"]) for row in others if row["standing"] != "worse"]
        line = f"{each.metric} on the same {each.rows} rows: {best['run']} is best with "
        line += interval_text(each.metric, float(best["value"]), float(best["low"]), float(best["high"]))
        line += f"; {_listed(tied)} cannot be told from it" if tied else ""
        line += f"; worse: {_listed(told)}" if told else ""
        said.append(f"{line} (other rows might say otherwise in 5 of 100 cases; other seeds are not in this).")
    return [*said, *on_rows.notes]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return f"{', '.join(names[:MAX_LISTED])}{more}"


def _compared(saved: dict[str, Predictions], split: str, metric: str) -> Paired:
    statistics = paired_statistics(list(saved.values()), metric)
    result = paired_bootstrap(statistics, SCORES.get(metric, ratio))
    table = pd.DataFrame({"run": list(saved), "value": result.values, "low": result.low, "high": result.high})
    table = with_standings(table, result.standings)
    ordered = table.sort_values("value", ascending=False, kind="stable", ignore_index=True)
    return Paired(f"{split}/{metric}", len(statistics[0]), ordered)
