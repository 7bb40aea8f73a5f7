"""The benchmark's page: every figure of the JSON as plotly's charts and a table, in one file that asks for nothing."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lit_transformer.records.atomic import write_atomic

Rows = Sequence[Mapping[str, Any]]
OURS, THEIRS = "#3366cc", "#b0b7c3"


def facts_with(rows: Rows, key: str) -> list[Mapping[str, Any]]:
    """Figures whose facts have a key."""
    return [row for row in rows if key in row.get("facts", {})]


def ratios(rows: Rows) -> go.Figure:
    """Our speed over the peer's, with quartiles, and what is asked."""
    cases = [row for row in facts_with(rows, "share_ours") if "axis" not in row["facts"]]
    names = [row["name"] for row in cases]
    values = [row["value"] for row in cases]
    chart = go.Figure(
        go.Bar(
            x=values, y=names, orientation="h", marker_color=OURS, name="ours over theirs",
            error_x={"array": [row["facts"]["high"] - row["value"] for row in cases],
                     "arrayminus": [row["value"] - row["facts"]["low"] for row in cases]},
        )
    )  # fmt: skip
    asked = [row for row in cases if row["bound"] is not None]
    chart.add_scatter(x=[row["bound"] for row in asked], y=[row["name"] for row in asked], mode="markers",
                      marker={"symbol": "line-ns-open", "size": 14, "color": "#cc3333"}, name="asked")  # fmt: skip
    chart.add_vline(x=1.0, line_dash="dot")
    return _bars(chart, "Speed over the peer's: median and quartiles of the rounds", len(cases), "x")


def shares(rows: Rows) -> go.Figure:
    """Of the matmul ceiling, both sides."""
    cases = [row for row in facts_with(rows, "share_ours") if "axis" not in row["facts"]]
    names = [row["name"] for row in cases]
    return _both(names, [row["facts"]["share_ours"] for row in cases], [row["facts"]["share_theirs"] for row in cases],
                 "Share of the matmul ceiling, by the FLOPs that each does", "%")  # fmt: skip


def memory(rows: Rows) -> go.Figure:
    """Peak bytes of both."""
    found = facts_with(rows, "memory")
    return _both([row["facts"]["system"] for row in found], [row["facts"]["ours"] / 1e6 for row in found],
                 [row["facts"]["theirs"] / 1e6 for row in found], "Peak memory of a training step", "MB")  # fmt: skip


def grown(rows: Rows, axis: str) -> go.Figure:
    """Microseconds a token of both along an axis."""
    found = [row for row in facts_with(rows, "axis") if row["facts"]["axis"] == axis]
    chart = go.Figure()
    for side, color in (("ours", OURS), ("theirs", THEIRS)):
        chart.add_scatter(x=[row["facts"]["value"] for row in found], y=[1e6 / row["facts"][side] for row in found],
                          name=side, mode="lines+markers", line_color=color)  # fmt: skip
    chart.update_layout(title=f"GPT's training step: microseconds a token with {axis}", template="plotly_white")
    chart.update_xaxes(type="log", title=axis)
    chart.update_yaxes(rangemode="tozero", title="µs")
    return chart


def seconds(rows: Rows) -> go.Figure:
    """Of each verb to its first output."""
    found = facts_with(rows, "verb")
    chart = go.Figure(go.Bar(x=[row["value"] for row in found], y=[row["facts"]["verb"] for row in found],
                             orientation="h", marker_color=OURS))  # fmt: skip
    return _bars(chart, "Seconds to a verb's first output", len(found), "s")


def _both(names: list[str], ours: list[float], theirs: list[float], title: str, unit: str) -> go.Figure:
    chart = go.Figure()
    for side, values, color in (("ours", ours, OURS), ("theirs", theirs, THEIRS)):
        chart.add_bar(x=values, y=names, orientation="h", name=side, marker_color=color)
    return _bars(chart, title, len(names), unit, rows=2)


def _bars(chart: go.Figure, title: str, count: int, unit: str, rows: int = 1) -> go.Figure:
    chart.update_layout(title=title, template="plotly_white", height=160 + (14 + 8 * rows) * count)
    chart.update_yaxes(autorange="reversed", automargin=True)
    chart.update_xaxes(title=unit)
    return chart


def table(rows: Rows) -> str:
    """Every figure."""
    lines = ["<table><tr><th>figure<th>measured<th>asked<th><th>note<th>on</tr>"]
    for row in rows:
        asked = "" if row["bound"] is None else f"{'≤' if row['at_most'] else '≥'} {row['bound']:.4g}"
        verdict = {None: "", True: "ok", False: "missed"}[row["met"]]
        cells = (row["name"], f"{row['value']:.4g} {row['unit']}", asked, verdict, row["note"], row["machine"])
        lines.append("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</table>"])


def charts(rows: Rows) -> list[go.Figure]:
    """Those that the figures have data for."""
    made = []
    if facts_with(rows, "share_ours"):
        made += [ratios(rows), shares(rows)]
    if facts_with(rows, "memory"):
        made.append(memory(rows))
    made += [grown(rows, axis) for axis in dict.fromkeys(row["facts"]["axis"] for row in facts_with(rows, "axis"))]
    if facts_with(rows, "verb"):
        made.append(seconds(rows))
    return made


def write_page(rows: Rows, file: Path) -> None:
    """One HTML file with plotly inside."""
    parts = [chart.to_html(full_html=False, include_plotlyjs=False) for chart in charts(rows)]
    style = "body{font-family:sans-serif;margin:2em}td,th{padding:.2em .6em;text-align:left}table{font-size:.85em}"
    head = f"<meta charset='utf-8'><title>lit-transformer: benchmark</title><style>{style}</style>"
    page = f"<!doctype html><html lang='en'><head>{head}<script>{get_plotlyjs()}</script></head><body>"
    page += f"<h1>Benchmark</h1>{''.join(parts)}<h2>Every figure</h2>{table(rows)}</body></html>"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, lambda stream: stream.write(page.encode()))
