"""What `analyze` wrote for a run or a sweep, drawn as the report draws it; it appears when the file does."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from lit_transformer.compare.analysis_figures import (
    MEASURE_TITLES,
    few_heads_figure,
    heads_map,
    pruning_figure,
    scaling_figure,
)
from lit_transformer.compare.analysis_files import UNFIT, HeadsFile, SweepFile, read_heads, read_sweep_analysis, unread
from lit_transformer.compare.analysis_section import heads_line, match_lines, scaling_lines
from lit_transformer.compare.dashboard.index import LiveIndex
from lit_transformer.compare.dashboard.live_run import mark_of
from lit_transformer.compare.dashboard.parts import finished
from lit_transformer.compare.dashboard.query import text
from lit_transformer.records.analysis import heads_file, sweep_analysis_file

MAX_BYTES = 4_000_000
"""Of a file that is drawn: that of the largest networks is a tenth of it."""
MAX_METRICS = 3
"""Metrics whose pruning curves are drawn."""


def analysis_panel(page: str) -> Component:
    """The place for it on a page."""
    return html.Div([html.Div(id=f"{page}-analysis"), dcc.Store(id=f"{page}-analyzed")])


def register_analysis(app: Dash, index: LiveIndex, page: str, owner: str) -> None:
    """Draw it when the file appears or changes; `owner` is the store with the id of the page's run or sweep."""
    find = _run_part if page == "run" else _sweep_part

    @app.callback(
        Output(f"{page}-analysis", "children"),
        Output(f"{page}-analyzed", "data"),
        Input("tick", "n_intervals"),
        State(owner, "data"),
        State(f"{page}-analyzed", "data"),
    )
    def draw(_: object, id: object, known: object) -> Any:
        folder, file, parts = find(index, text(id))
        state = "" if file is None else state_of(file)
        if state == text(known):
            return no_update, no_update
        return section(folder, file, parts) if file and state else [], state


Parts = Callable[[Path], list[Component] | None]
Found = tuple[Path, Path | None, Parts]


def _run_part(index: LiveIndex, id: str) -> Found:
    run = index.run(id)
    return (run.run.path, heads_file(run.run.path), heads_parts) if run else (index.root, None, heads_parts)


def _sweep_part(index: LiveIndex, id: str) -> Found:
    sweep = index.view.sweep(id)
    folder = sweep.folder.path if sweep else index.root
    return folder, sweep_analysis_file(folder) if sweep else None, sweep_parts


def state_of(file: Path) -> str:
    """What changes with a file's content; empty where there is none, or a link leads to it."""
    try:
        if not stat.S_ISDIR(os.lstat(file.parent).st_mode):
            return ""
    except OSError:
        return ""
    mark = mark_of(str(file))
    return "" if mark is None else repr(mark)


def section(folder: Path, file: Path, parts: Parts) -> Component:
    """The part of the page on one file, or a note where it cannot be shown."""
    title = "What heads and layers do"
    try:
        large = file.stat().st_size > MAX_BYTES
        shown = None if large else parts(folder)
    except (OSError, *UNFIT):
        large, shown = False, None
    if shown is None:
        name = f"{file.parent.name}/{file.name}"
        told = f"{name} is larger than {MAX_BYTES // 1_000_000} MB and not shown." if large else unread(file)
        shown = [html.P(told, className="hint", role="status")]
    return html.Section([html.H2(title), *shown], className="card")


def heads_parts(folder: Path) -> list[Component] | None:
    """What the heads of a run do: a map of each measure, and its metrics as heads are removed."""
    found = read_heads(folder)
    if found is None:
        return None
    figures = [heads_map(found, measure) for measure in MEASURE_TITLES]
    figures += [pruning_figure(found, metric) for metric in pruned_metrics(found)[:MAX_METRICS]]
    return [html.P(f"{heads_line(found)}.", className="hint"), _pair("run", figures)]


def pruned_metrics(found: HeadsFile) -> list[str]:
    """The metrics that were measured as heads were removed, the loss first."""
    names = [str(name) for name in found.curves.columns if name not in ("number", "by", "share")]
    return sorted(names, key=lambda name: name != "val/loss")


def sweep_parts(folder: Path) -> list[Component] | None:
    """Few heads against pruned ones, and loss against size; why not, where a sweep cannot tell."""
    found = read_sweep_analysis(folder)
    return None if found is None else _answers(found)


def _answers(found: SweepFile) -> list[Component]:
    figures, lines = [], []
    if found.matches is not None and len(found.matches):
        figures.append(few_heads_figure(found.matches))
        lines += match_lines(found.matches)
    if found.scaling is not None:
        figures.append(scaling_figure(found.scaling))
        lines += scaling_lines(found.scaling)
    said = [html.Ul([html.Li(line) for line in lines])] if lines else []
    return [
        *([_pair("sweep", figures)] if figures else []),
        *said,
        *(html.P(r, className="hint") for r in found.reasons),
    ]


def _pair(page: str, figures: list[Any]) -> Component:
    return html.Div(
        [finished(f"{page}-analysis-{place}", figure) for place, figure in enumerate(figures)], className="pair"
    )
