"""The parts of a run's page: what it is, what to type next, its settings with their origin, its machine, its log."""

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from lit_transformer.compare.dashboard.curve_figure import Curve, Drawn, curve_figure
from lit_transformer.compare.dashboard.live_run import LiveRun
from lit_transformer.compare.dashboard.parts import duration, state, table
from lit_transformer.compare.dashboard.samples import read_end
from lit_transformer.compare.plain import clean, flatten, label, printable
from lit_transformer.compare.read import FIELDS, Row
from lit_transformer.compare.style import OKABE_ITO, figure_of, si

LOG_BYTES = 48_000
MAX_ERROR = 6_000


def facts(run: LiveRun, row: Row) -> list[Component]:
    """State, time left, numbers and the error of a run, as they are now."""
    numbers = [(name, figure_of(name, value)) for name, value in sorted(row.metrics.items())][:24]
    for name in FIELDS:
        value = row.fields.get(name)
        if isinstance(value, int | float):
            numbers.append((name, duration(value) if name == "seconds" else si(float(value))))
    left = duration(run.eta())
    head = [state(row.status), *([html.Span(f"  {left} left", className="hint")] if left else [])]
    shown: list[Component] = [html.P(head, className="status")]
    if row.error or row.problem:
        shown.append(html.Pre((row.error or row.problem or "")[:MAX_ERROR], className="error"))
    items = [html.Div([html.Dt(name), html.Dd(value)]) for name, value in numbers if value]
    return [*shown, html.Dl(items, className="numbers")]


def commands(run: LiveRun, row: Row) -> list[tuple[str, str]]:
    """What a person may want to type next: what it does, and the line."""
    path = shlex.quote(printable(str(run.run.path)))
    lines = []
    if row.status in ("running", "stopped", "failed", "diverged", "pruned"):
        lines.append(("resume", f"lit-transformer fit --resume {path}"))
    lines.append(("evaluate", f"lit-transformer evaluate {path}"))
    name = shlex.quote(printable(str(run.config().get("experiment") or "exported")))
    lines.append(("export", f"lit-transformer export {path} {name}"))
    return lines


def command_list(run: LiveRun, row: Row) -> Component:
    """The commands, each with a button that copies it."""
    items = []
    for place, (name, line) in enumerate(commands(run, row)):
        target = f"run-command-{place}"
        copy = dcc.Clipboard(target_id=target, title=f"Copy: {name}", className="copy")
        items.append(html.Div([html.Span(name), html.Code(line, id=target), copy], className="command"))
    return html.Div(items)


def settings_grid(run: LiveRun, swept: Sequence[str]) -> Component:
    """Every setting with its value and where that came from, what was swept first."""
    origins = run.run.read_origins() if not run.run.origin_file.is_symlink() else {}
    config = flatten(run.config())
    keys = [key for key in swept if key in config] + [key for key in config if key not in set(swept)]
    rows = [
        {"key": key, "value": clean(label(config[key])), "origin": clean(origins.get(key, "")), "swept": key in swept}
        for key in keys
    ]  # fmt: skip
    return table(
        "run-settings",
        "config.csv",
        rows=rows,
        columns=[
            {"field": "key", "headerName": "setting", "flex": 2, "minWidth": 160, "tooltipField": "key"},
            {"field": "value", "headerName": "value", "flex": 2, "minWidth": 120, "tooltipField": "value"},
            {"field": "origin", "headerName": "origin", "flex": 1, "minWidth": 110, "tooltipField": "origin"},
        ],
        look="settings",
        defaults={"filter": "agTextColumnFilter", "floatingFilter": True},
    )


def overlay(run: LiveRun, metrics: Sequence[str], how: Drawn) -> dict[str, Any]:
    """Several metrics of one run in one figure."""
    curves = []
    for place, name in enumerate(metrics):
        steps, values = run.series().curve(name)
        curves.append(Curve(name, steps.astype(float), values, OKABE_ITO[place % len(OKABE_ITO)]))
    return curve_figure(curves, how)


SYSTEM = (("tokens_per_second", 1.0, "tokens/s"), ("memory_bytes", 1e9, "memory, GB"), ("mfu", 1.0, "MFU"))


def system_figures(run: LiveRun) -> list[Any]:
    """Speed, memory and use of the processor over time; those that were measured."""
    figures = []
    for name, unit, title in SYSTEM:
        steps, values = run.system().curve(name)
        at, seconds = run.system().curve("seconds")
        if len(steps) and len(at) == len(steps) and bool(np.isfinite(values).any()):
            curve = Curve(title, seconds, values / unit, OKABE_ITO[0])
            figures.append(curve_figure([curve], Drawn(metric=title, axis="seconds")))
    return figures


def log_text(run: LiveRun) -> str:
    """The end of what the trial wrote to standard error."""
    return read_end(run.run.log_file, LOG_BYTES)
