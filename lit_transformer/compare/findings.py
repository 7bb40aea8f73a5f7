"""What a comparison says in plain words: the best cell, what cannot be told from it, and why not."""

from lit_transformer.compare.comparison import SEED, Comparison, values_of
from lit_transformer.compare.judging import Judged
from lit_transformer.compare.plain import label
from lit_transformer.compare.statistics import best_cell, rows_of
from lit_transformer.compare.style import behind_text, mean_text, short
from lit_transformer.compare.table import setting_columns

MAX_NAMED = 8
"""More values than these are counted, not listed."""


def verdict(comparison: Comparison, judged: Judged) -> str:
    """A few sentences of plain text: what was swept, what came of it, the best cell, and what is not claimed."""
    runs, cells = comparison.runs, judged.cells
    grid = " × ".join(f"{len(values_of(runs, key))} {short(key)}" for key in comparison.factors)
    counts = runs["status"].value_counts().to_dict()
    states = ", ".join(f"{count} {status}" for status, count in counts.items())
    total = _count(len(runs), "cell" if comparison.planned and not comparison.averaged else "run")
    parts = [f"{grid}: {total} ({states})." if grid else f"{total} ({states})."]
    best = best_cell(cells, comparison.goal)
    if best is None:
        return f"{parts[0]} No complete run has a {comparison.metric} yet."
    row = rows_of(cells)[0 if judged.compared else best]
    where = ", ".join(f"{short(key)} {label(row[key])}" for key in setting_columns(comparison))
    extreme = "Lowest" if comparison.goal == "minimize" else "Highest"
    value = mean_text(comparison.metric, float(row["mean"]), float(row["sd"]))
    parts.append(f"{extreme} {comparison.metric}: {value}" + (f" at {where}" if where else "") + _tied(judged) + ".")
    return " ".join([*parts, caveat(comparison, judged)]).strip()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _tied(judged: Judged) -> str:
    if not judged.compared:
        return ""
    standing = judged.cells["standing"].tolist()
    tied, others = standing.count("not told apart"), len(standing) - standing.count("") - 1
    if not tied:
        return f"; {'the other cell is' if others == 1 else f'all {others} other cells are'} worse by more than chance"
    return f"; {tied} of {_count(others, 'other cell')} cannot be told from it"


def caveat(comparison: Comparison, judged: Judged) -> str:
    """What the numbers do not say."""
    if not judged.compared:
        return judged.reason
    count = len(values_of(comparison.runs, SEED))
    return (
        f"Mean ± standard deviation over {count} seeds; brackets are 95 % intervals. A cell counts as worse only where "
        "chance would say so of any cell in 5 of 100 sweeps."
    )


def findings(comparison: Comparison, judged: Judged) -> list[str]:
    """One sentence for each swept setting whose values were compared, then the notes that the comparison rests on."""
    said = [_level_sentence(key, judged, comparison.metric) for key in judged.levels]
    return [*said, *judged.notes]


def _level_sentence(key: str, judged: Judged, metric: str) -> str:
    rows = rows_of(judged.levels[key])
    best = next(row for row in rows if row["standing"] == "best")
    tied = [label(row["value"]) for row in rows if row["standing"] == "not told apart"]
    worse = sorted((row for row in rows if row["standing"] == "worse"), key=lambda row: float(row["behind"]))
    average = ", averaged over the other settings" if len(judged.levels) > 1 else ""
    said = f"{short(key)}{average}: {label(best['value'])} is best"
    if tied:
        said += f", {_listed(tied)} cannot be told from it"
    if worse:
        lost = [f"{label(row['value'])} by {behind_text(metric, row)}" for row in worse[:MAX_NAMED]]
        more = f" and {len(worse) - MAX_NAMED} more" if len(worse) > MAX_NAMED else ""
        said += f"; worse: {'; '.join(lost)}{more}"
    return said + "."


def _listed(names: list[str]) -> str:
    if len(names) > MAX_NAMED:
        return f"{len(names)} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
