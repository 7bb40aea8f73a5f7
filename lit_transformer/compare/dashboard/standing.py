"""What seeds allow to be said of a sweep's cells, judged anew only where a run that counts for it changed."""

import math
import threading
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace

import pandas as pd

from lit_transformer.compare.comparison import SEED, Comparison, goal_of
from lit_transformer.compare.findings import findings, verdict
from lit_transformer.compare.judging import Judged, judge, why_not
from lit_transformer.compare.plain import label
from lit_transformer.compare.statistics import Row, rows_of
from lit_transformer.compare.style import STANDING_WORDS, behind_text, bracket, mean_text, short
from lit_transformer.compare.table import setting_columns

KEPT = 32
"""Judgements kept: of a few sweeps, by a few metrics each."""
SOON = 0.1
"""Seconds that a figure waits for a judgement; one of hundreds of cells takes longer, and marks what is drawn later."""
LONGEST = 60.0
JUDGED = ("adjusted", "behind", "behind_low", "behind_high", "standing")


class Judging:
    """Judgements as they are asked for; one is made at a time, beside the requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Hashable, Future[Judged]] = {}
        self._worker = ThreadPoolExecutor(1, "judging")

    def ask(self, comparison: Comparison, seconds: float = SOON) -> Judged | None:
        """The judgement of a comparison's cells by its metric; None where it takes longer than that."""
        key = counted(comparison)
        with self._lock:
            found = self._known.pop(key, None) or self._worker.submit(judge, comparison)
            self._known[key] = found
            while len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
        try:
            return found.result(seconds)
        except NotYet:
            return None


def counted(comparison: Comparison) -> Hashable:
    """All that a judgement depends on: states, and the numbers of complete runs. What trains changes none of it."""
    runs, metric = comparison.runs, comparison.metric
    keys = [name for name in (*comparison.cell_keys, SEED) if name in runs]
    points = zip(*([label(value) for value in runs[key]] for key in keys), strict=True)
    values = runs[metric] if metric in runs else [math.nan] * len(runs)
    numbers = [
        repr(value) if status == "complete" else "" for status, value in zip(runs["status"], values, strict=True)
    ]
    swept = (*comparison.swept, *keys)
    return str(comparison.directory), metric, comparison.goal, swept, (*runs["status"],), (*points,), (*numbers,)


def by_metric(comparison: Comparison, metric: str) -> Comparison | None:
    """The comparison as judged by another of its metrics; None where it is not known which way that is better."""
    goal = goal_of(metric, comparison)
    return None if goal is None else replace(comparison, metric=metric, goal=goal)


def with_standing(cells: pd.DataFrame, judged: Judged | None, keys: list[str]) -> pd.DataFrame:
    """The cells of `statistics.summarise` with their standing, as far as it is known, in their own order.

    `place` is that in the order of merit.
    """
    known = {} if judged is None else {_point(row, keys): (n, row) for n, row in enumerate(rows_of(judged.cells))}
    found = [known.get(_point(row, keys)) for row in rows_of(cells)]
    columns = {
        name: [row[1][name] if row else ("" if name == "standing" else math.nan) for row in found] for name in JUDGED
    }
    places = [row[0] if row else len(cells) for row in found]
    made = {
        name: pd.Series(values, index=cells.index, dtype=object).infer_objects() for name, values in columns.items()
    }
    return cells.assign(**made, place=pd.Series(places, index=cells.index, dtype=int))


def _point(row: Row, keys: list[str]) -> tuple[str, ...]:
    return tuple(label(row[key]) for key in keys)


def said_of(comparison: Comparison, metric: str, judged: Judged | None) -> list[str]:
    """What the Sweep page says of the cells by `metric`: the report's verdict, then its findings."""
    judging = by_metric(comparison, metric)
    if judging is None:
        no_goal = f"Whether a lower or a higher {metric} is better is not known: no ranking by it is claimed."
        return [part for part in (no_goal, why_not(comparison)) if part]
    if judged is None:
        return ["The cells are being compared."]
    return [verdict(judging, judged), *findings(judging, judged)]


def cell_sentence(comparison: Comparison, judged: Judged | None, run: str) -> str:
    """What the page of a sweep's run says of its cell: where it stands, or why cells are not ranked."""
    if judged is None:
        return "The cells of its sweep are being compared."
    if not judged.compared:
        return judged.reason
    keys, metric = comparison.cell_keys, comparison.metric
    rows = rows_of(comparison.runs[list(dict.fromkeys(["run", *keys]))])
    own = next((row for row in rows if row["run"] == run), None)
    cell = next((row for row in rows_of(judged.cells) if own and _point(row, keys) == _point(own, keys)), None)
    if cell is None:
        return ""
    where = ", ".join(f"{short(key)} {label(cell[key])}" for key in setting_columns(comparison))
    if not cell["standing"]:
        return f"Its cell ({where}) has no complete run that could be compared."
    seeds = "1 seed" if cell["n"] == 1 else f"{cell['n']} seeds"
    mean = " ".join(
        part
        for part in (
            mean_text(metric, float(cell["mean"]), float(cell["sd"])),
            bracket(metric, float(cell["low"]), float(cell["high"])),
        )
        if part
    )
    behind = "" if cell["standing"] == "best" else f"; behind the best by {behind_text(metric, cell)}"
    return f"Its cell ({where}): {STANDING_WORDS[cell['standing']]}{behind}. {metric} {mean} over {seeds}."
