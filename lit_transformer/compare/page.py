"""The parts of the report's page as HTML; everything that comes from files is escaped here."""

import html
import json
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.judging import Judged
from lit_transformer.compare.paired import OnRows
from lit_transformer.compare.plain import clean, flatten, label
from lit_transformer.compare.statistics import Row, rows_of
from lit_transformer.compare.style import STANDING_WORDS, behind_text, bracket, interval_text, mean_text, short, si
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


def figures_of(section: str, figures: Sequence[object]) -> str:
    """A section's figures as a script element of JSON: the page reads it when it draws the first of them."""
    attributes = f'type="application/json" id="data-{section}" data-count="{len(figures)}"'
    return f"<script {attributes}>{script_json(figures)}</script>"


def results_table(comparison: Comparison, judged: Judged) -> str:
    """The cells as an HTML table, best first; `data-value` holds what a column sorts by."""
    cells, settings = judged.cells, setting_columns(comparison)
    seeds = bool((cells["count"] > 1).any())
    costs = list(HEADS)
    replicated = ["95 %", "seeds"] if seeds else []
    compared = ["behind the best", "against the best"] if judged.compared else []
    heads = [*settings, comparison.metric, *replicated, *compared, *HEADS.values(), "status"]
    numeric = [name not in (*settings, "against the best", "status") for name in heads]
    head = "".join(
        f'<th scope="col" aria-sort="none"{" class=number" if right else ""}>'
        f'<button type="button">{text(name).replace(".", ".<wbr>")}</button></th>'
        for name, right in zip(heads, numeric, strict=True)
    )
    rows = "".join(
        _table_row(row, settings, costs, comparison.metric, seeds, judged.compared) for row in rows_of(cells)
    )
    return f"<table id=results><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _table_row(row: Row, settings: list[str], costs: list[str], metric: str, seeds: bool, compared: bool) -> str:
    fields = [(label(row[key]), row[key], "") for key in settings]
    fields.append((mean_text(metric, float(row["mean"]), float(row["sd"])), row["mean"], "number"))
    if seeds:
        fields.append((bracket(metric, float(row["low"]), float(row["high"])), row["low"], "number"))
        fields.append((str(row["n"]), row["n"], "number"))
    if compared:
        fields.append((behind_text(metric, row) if row["standing"] != "best" else "", row["behind"], "number"))
        fields.append((STANDING_WORDS[row["standing"]], row["standing"], "mark"))
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


def rows_section(on_rows: OnRows) -> str:
    """The paired bootstrap as a card with a table; empty where no predictions were saved."""
    if not on_rows.metrics and not on_rows.notes:
        return ""
    rows = "".join(_rows_row(each.metric, row) for each in on_rows.metrics for row in rows_of(each.runs))
    notes = "".join(f"<p class=note>{text(note)}</p>" for note in on_rows.notes)
    head = "<tr><th>metric<th>run<th class=number>value, 95 %<th class=number>behind the best<th>against the best"
    return (
        '<section class="card" id="rows-card"><h2>On the same rows</h2><p class=hint>Predictions that evaluate saved, '
        "by the paired bootstrap: what other rows of the same kind would leave of a difference. It says nothing of "
        f"other seeds.</p>{notes}<div class=scroll><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
        "</section>"
    )


def _rows_row(metric: str, row: Row) -> str:
    value = interval_text(metric, float(row["value"]), float(row["low"]), float(row["high"]))
    behind = behind_text(metric, row) if row["standing"] != "best" else ""
    return (
        f"<tr><td>{text(metric)}<td>{text(row['run'])}<td class=number>{text(value)}<td class=number>{text(behind)}"
        f"<td>{text(STANDING_WORDS[row['standing']])}"
    )


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
    config = flatten(run.read_config()) if run.exists() and not os.path.islink(run.path) else {}
    table = (
        _config_table(config, run.read_origins(), {*comparison.swept}) if config else "<p>It has no config.yaml.</p>"
    )
    return f"<details><summary>{summary}</summary>{problem}{table}</details>"


def _config_table(config: dict[str, object], origins: dict[str, str], swept: Collection[str]) -> str:
    rows = "".join(
        f"<tr{' class=swept' if key in swept else ''}><td>{text(key)}<td>{text(value)}<td>{text(origins.get(key, ''))}"
        for key, value in config.items()
    )
    return f"<table class=config><thead><tr><th>setting<th>value<th>origin</thead><tbody>{rows}</tbody></table>"
