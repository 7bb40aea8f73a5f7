"""The parts of the report's page as HTML; everything that comes from files is escaped here."""

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path

from lit_transformer.compare.comparison import SEED, Comparison, values_of
from lit_transformer.compare.plain import clean, flatten, label
from lit_transformer.compare.statistics import Row, best_cell, ranked_cells, rows_of
from lit_transformer.compare.style import mean_text, short, si
from lit_transformer.compare.table import setting_columns
from lit_transformer.records.run_folder import RunFolder

HEADS = {"parameters": "parameters", "flops": "FLOPs", "tokens_per_second": "tokens/s", "seconds": "seconds"}


def text(value: object) -> str:
    """Any value as HTML text."""
    return html.escape(clean(label(value)), quote=True)


def script_json(value: object) -> str:
    """JSON that may stand inside a script element: no `<`, `>` or `&`, and only ASCII."""
    encoded = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def verdict(comparison: Comparison) -> str:
    """One sentence of plain text: what was swept, what came of it, the best cell, and what is not claimed."""
    runs, cells = comparison.runs, ranked_cells(comparison)
    grid = " × ".join(f"{len(values_of(runs, key))} {short(key)}" for key in comparison.factors)
    counts = runs["status"].value_counts().to_dict()
    states = ", ".join(f"{count} {status}" for status, count in counts.items())
    total = _count(len(runs), "cell" if comparison.planned and not comparison.averaged else "run")
    parts = [f"{grid}: {total} ({states})." if grid else f"{total} ({states})."]
    best = best_cell(cells, comparison.goal)
    if best is None:
        return f"{parts[0]} No complete run has a {comparison.metric} yet."
    row = rows_of(cells)[best]
    where = ", ".join(f"{short(key)} {label(row[key])}" for key in setting_columns(comparison))
    extreme = "Lowest" if comparison.goal == "minimize" else "Highest"
    value = mean_text(comparison.metric, float(row["mean"]), float(row["sd"]))
    parts.append(f"{extreme} {comparison.metric}: {value}" + (f" at {where}." if where else "."))
    return " ".join([*parts, caveat(comparison)])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def caveat(comparison: Comparison) -> str:
    """What the numbers do not say."""
    if len(comparison.runs) < 2:
        return ""
    if comparison.averaged:
        count = len(values_of(comparison.runs, SEED))
        return (
            f"Mean ± standard deviation over {count} seeds; cells closer than that may change places with other seeds."
        )
    if len(values_of(comparison.runs, SEED) if SEED in comparison.runs else []) > 1:
        return "Each run stands for itself: no ranking between close runs is claimed."
    return "One seed: no ranking between close cells is claimed, since another seed may reorder them."


def results_table(comparison: Comparison) -> str:
    """The cells as an HTML table, best first; `data-value` holds what a column sorts by."""
    cells, settings = ranked_cells(comparison), setting_columns(comparison)
    seeds = bool((cells["count"] > 1).any())
    costs = list(HEADS)
    heads = [*settings, comparison.metric, *(["seeds"] if seeds else []), *HEADS.values(), "status"]
    numeric = [False] * len(settings) + [True] * (len(heads) - len(settings) - 1) + [False]
    head = "".join(
        f'<th scope="col" aria-sort="none"{" class=number" if right else ""}>'
        f'<button type="button">{text(name).replace(".", ".<wbr>")}</button></th>'
        for name, right in zip(heads, numeric, strict=True)
    )
    rows = "".join(_table_row(row, settings, costs, comparison.metric, seeds) for row in rows_of(cells))
    return f"<table id=results><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _table_row(row: Row, settings: list[str], costs: list[str], metric: str, seeds: bool) -> str:
    fields = [(label(row[key]), row[key], "") for key in settings]
    fields.append((mean_text(metric, float(row["mean"]), float(row["sd"])), row["mean"], "number"))
    fields += [(str(row["n"]), row["n"], "number")] if seeds else []
    fields += [(si(float(row[name])), row[name], "number") for name in costs]
    shown = "".join(
        f'<td{f" class={kind}" if kind else ""} data-value="{text(_sort_value(value))}">{text(shown)}</td>'
        for shown, value, kind in fields
    )
    status, detail = str(row["status"]), str(row["detail"])
    note = f"<span class=detail>{text(detail[:300])}</span>" if detail else ""
    state = f'<span class="state {_class(status)}">{text(status)}</span>'
    return f'<tr>{shown}<td data-value="{text(status)}">{state}{note}</td></tr>'


def _sort_value(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return label(value)


def _class(status: str) -> str:
    return status if status.isalpha() and status.isascii() else "damaged"


def run_details(comparison: Comparison, root: Path) -> str:
    """Each run's settings with their origin, its error and its versions, folded."""
    return "".join(_details(row, comparison, root) for row in rows_of(comparison.runs))


def _details(row: Row, comparison: Comparison, root: Path) -> str:
    status = str(row["status"])
    values = ", ".join(f"{short(key)} {label(row[key])}" for key in comparison.swept[:6])
    summary = (
        f'<span class="state {_class(status)}">{text(status)}</span> {text(values)} <code>{text(row["run"])}</code>'
    )
    reasons = [str(row[name]) for name in ("problem", "error") if isinstance(row[name], str)]
    problem = "".join(f"<pre class=error>{text(reason[:4000])}</pre>" for reason in reasons)
    run = RunFolder(root / str(row["run"]))
    config = flatten(run.read_config()) if run.exists() and not run.path.is_symlink() else {}
    table = _config_table(config, run.read_origins(), comparison.swept) if config else "<p>It has no config.yaml.</p>"
    return f"<details><summary>{summary}</summary>{problem}{table}</details>"


def _config_table(config: dict[str, object], origins: dict[str, str], swept: Sequence[str]) -> str:
    rows = "".join(
        f"<tr{' class=swept' if key in swept else ''}><td>{text(key)}<td>{text(value)}<td>{text(origins.get(key, ''))}"
        for key, value in config.items()
    )
    return f"<table class=config><thead><tr><th>setting<th>value<th>origin</thead><tbody>{rows}</tbody></table>"
