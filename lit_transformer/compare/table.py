"""The comparison as a table in the terminal, as CSV and as JSON."""

import json
import math
import sys

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lit_transformer.compare.comparison import Comparison
from lit_transformer.compare.importance import anova
from lit_transformer.compare.judging import Judged
from lit_transformer.compare.paired import OnRows
from lit_transformer.compare.plain import label, printable
from lit_transformer.compare.statistics import LEVEL, Row, rows_of
from lit_transformer.compare.style import behind_text, bracket, mean_text, short, si
from lit_transformer.records.atomic import finite

MAX_SETTINGS = 6
"""More settings than these make a table that no terminal holds; CSV, JSON and the report have them all."""
STATUS_STYLES = {"complete": "green", "running": "cyan", "failed": "red", "damaged": "red", "diverged": "yellow"}

PIPED_WIDTH = 200
"""Columns of a table that goes into a pipe or file, where no terminal says how wide it may be."""


def console() -> Console:
    """Standard output, for tables."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)


def setting_columns(comparison: Comparison) -> list[str]:
    """The settings that a row of the table shows: the factors, after the run where no plan names the cells."""
    keys = [key for key in comparison.cell_keys if key != "run"]
    return keys if comparison.planned else [key for key in comparison.cell_keys if key == "run"] + keys[:MAX_SETTINGS]


def terminal_table(comparison: Comparison, judged: Judged) -> Table:
    """Cells best first by the comparison's metric, with what the seeds say, what they cost, and their status."""
    cells = judged.cells
    settings = setting_columns(comparison)
    seeds = bool((cells["count"] > 1).any())
    table = Table(caption=caption(comparison, judged), caption_justify="left", header_style="bold")
    for key in settings:
        table.add_column(Text(printable(key if len(settings) <= 3 else short(key))), overflow="fold")
    head = f"{comparison.metric} (mean ± sd)" if seeds else comparison.metric
    compared = ["behind the best", ""] if judged.compared else []
    for name in (head, *(["95 %", "seeds"] if seeds else []), *compared, "parameters", "FLOPs", "tokens/s"):
        table.add_column(Text(printable(name)), justify="right" if name else "left", no_wrap=True)
    table.add_column("status", overflow="fold", max_width=48)
    for row in rows_of(cells):
        table.add_row(*_cells_of(row, settings, comparison.metric, seeds, judged.compared))
    return table


def _cells_of(row: Row, settings: list[str], metric: str, seeds: bool, compared: bool) -> list[Text]:
    status, detail = str(row["status"]), printable(str(row["detail"]))
    state = Text(status, style=STATUS_STYLES.get(status, ""))
    state.append(f": {detail[:160]}" if detail else "", style="")
    numbers = [mean_text(metric, float(row["mean"]), float(row["sd"]))]
    numbers += [bracket(metric, float(row["low"]), float(row["high"])), str(row["n"])] if seeds else []
    numbers += [behind_text(metric, row) if row["standing"] != "best" else "", row["standing"]] if compared else []
    numbers += [si(float(row[name])) for name in ("parameters", "flops", "tokens_per_second")]
    return [*[Text(printable(label(row[key]))) for key in settings], *map(Text, numbers), state]


def caption(comparison: Comparison, judged: Judged) -> str:
    """What stands under the table: the order, and what it does not claim."""
    order = "lowest" if comparison.goal == "minimize" else "highest"
    claim = (
        "brackets are 95 % intervals; `not told apart`: chance may explain the distance from the best"
        if judged.compared
        else judged.reason
    )
    return printable("; ".join([f"{order} {comparison.metric} first", *([claim] if claim else [])])).replace("[", r"\[")


def csv_text(runs: pd.DataFrame) -> str:
    """The runs as CSV, one row a run with all columns of `read_runs`; an absent value is an empty field."""
    return runs.to_csv(index=False, lineterminator="\n")


def json_document(comparison: Comparison, judged: Judged, on_rows: OnRows) -> str:
    """One JSON document: directory, metric, goal, swept, `cells` best first (mean, sd, n, low, high, behind, standing),
    `comparison` (whether cells were compared, why not, the pooled error), `levels` of each setting, `variance` (the
    analysis of variance of a complete grid), `on_rows` (the paired bootstrap of saved predictions), and every run."""
    document = {
        "directory": str(comparison.directory),
        "title": comparison.title,
        "metric": {"name": comparison.metric, "goal": comparison.goal},
        "swept": comparison.swept,
        "cells": records(judged.cells),
        "comparison": {
            "compared": judged.compared,
            "reason": judged.reason,
            "level": LEVEL,
            "sd": _json_value(judged.sd),
            "df": judged.df,
            "notes": list(judged.notes),
        },
        "variance": [
            {**vars(effect), "factors": list(effect.factors), "p": _json_value(effect.p)}
            for effect in anova(comparison.runs, comparison.factors, comparison.metric)
        ],
        "on_rows": [{"metric": each.metric, "rows": each.rows, "runs": records(each.runs)} for each in on_rows.metrics],
        "levels": {key: records(table) for key, table in judged.levels.items()},
        "runs": records(comparison.runs),
        "notes": [*comparison.notes, *on_rows.notes],
    }
    return json.dumps(document, ensure_ascii=False, indent=2)


def records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as plain dicts that JSON takes: None for every absent or non-finite value."""
    return [{name: _json_value(value) for name, value in row.items()} for row in rows_of(frame)]


def _json_value(value: object) -> object:
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return finite(value)
