"""Figures of what `analyze` found: heads, pruning, few heads against pruned ones, scaling; pure functions."""

import math

import pandas as pd
import plotly.graph_objects as go

from lit_transformer.compare.analysis_files import HeadsFile, Scaling
from lit_transformer.compare.plain import label
from lit_transformer.compare.statistics import rows_of
from lit_transformer.compare.style import DASHES, LEGEND, OKABE_ITO, axis, base_layout, escape, figure_of, si

MEASURE_TITLES = {
    "removal": "val/loss without each head, less that with all",
    "gradient": "gradient score of each head",
    "entropy": "entropy of each head's attention (nats)",
    "distance": "mean distance of each head's attention (tokens)",
}
ORDERS = {"gradient": "least gradient first", "removal": "least removal first", "random": "at random"}
LIGHT = "rgba(0,114,178,0.15)"


def heads_map(found: HeadsFile, measure: str) -> go.Figure:
    """One of the measures over head and layer; layers of an encoder-decoder by their kind of attention."""
    rows = rows_of(found.heads)
    lines = list(dict.fromkeys(f"{row['attention']} {row['layer']}" for row in rows))
    heads = sorted({row["head"] for row in rows})
    values = {(f"{row['attention']} {row['layer']}", row["head"]): float(row[measure]) for row in rows}
    grid = [[values.get((line, head), math.nan) for head in heads] for line in lines]
    figure = go.Figure(layout=base_layout(MEASURE_TITLES[measure]))
    text = [[figure_of("val/loss", value) for value in line] for line in grid]
    figure.add_heatmap(
        x=[str(head) for head in heads],
        y=[escape(line) for line in lines],
        z=[[value if math.isfinite(value) else None for value in line] for line in grid],
        text=text,
        texttemplate="%{text}",
        textfont={"size": 14 if len(heads) <= 8 else 10},
        colorscale="Viridis",
        colorbar={"thickness": 12, "outlinewidth": 0},
        xgap=3,
        ygap=3,
        hoverongaps=False,
        hovertemplate="%{y}, head %{x}: %{z:.4g}<extra></extra>",
    )
    plain = {"type": "category", "showgrid": False, "ticks": ""}
    figure.update_layout(xaxis=axis("head", **plain), yaxis=axis("layer", **plain))
    return figure


def pruning_figure(found: HeadsFile, metric: str = "val/loss") -> go.Figure:
    """A metric against the share of heads removed, by order; of random orders each faint, and their mean."""
    figure = go.Figure(layout=base_layout(f"{metric} of the pruned network"))
    for place, by in enumerate(dict.fromkeys(found.curves["by"])):
        curves = found.curves[found.curves["by"] == by]
        colour = OKABE_ITO[place % len(OKABE_ITO)]
        mean = curves.groupby("share", sort=True)[metric].mean()
        if by == "random":
            for _, one in curves.groupby("number", sort=False):
                figure.add_scatter(
                    x=one["share"].tolist(), y=_finite(one[metric].tolist()), mode="lines", opacity=0.25,
                    line={"color": colour, "width": 1}, showlegend=False, hoverinfo="skip",
                )  # fmt: skip
        name = escape(ORDERS.get(str(by), by))
        figure.add_scatter(
            x=mean.index.tolist(),
            y=_finite(mean.tolist()),
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2, "dash": DASHES[place % len(DASHES)]},
            hovertemplate=f"{name}, %{{x:.0%}} removed: %{{y:.4g}}<extra></extra>",
        )
    figure.update_layout(
        xaxis=axis("heads removed", tickformat=".0%", range=[-0.02, 1.02]), yaxis=axis(""), legend=LEGEND
    )
    return figure


def few_heads_figure(matches: pd.DataFrame) -> go.Figure:
    """val/loss over heads, for every other setting: trained with so many, and pruned to as many; bars are one sd."""
    figure = go.Figure(layout=base_layout("val/loss: trained with few heads, or pruned to them"))
    for place, (cell, rows) in enumerate(matches.groupby("cell", sort=False)):
        colour = OKABE_ITO[place % len(OKABE_ITO)]
        ordered = rows.sort_values("heads")
        last = ordered.iloc[-1]  # both end at the network with the most heads
        for kind, dash in (("trained", "solid"), ("pruned", "dash")):
            name = escape(", ".join(part for part in (label(cell), kind) if part))
            figure.add_scatter(
                x=[*ordered["heads"].tolist(), int(last["largest"])],
                y=_finite([*ordered[kind].tolist(), float(last["unpruned"])]),
                error_y={
                    "type": "data",
                    "array": _finite([*ordered[f"{kind}_sd"].tolist(), float(last["unpruned_sd"])]),
                    "thickness": 1.2,
                },
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate=f"{name}, %{{x}} heads: %{{y:.4g}}<extra></extra>",
            )
    figure.update_layout(
        xaxis=axis("heads in each layer", type="log", dtick=math.log10(2)), yaxis=axis(""), legend=LEGEND
    )
    return figure


def scaling_figure(found: Scaling) -> go.Figure:
    """Loss over parameters: cells, the fitted law with its 95 % band, and what it says of the held-out cell."""
    figure = go.Figure(layout=base_layout(f"{found.metric} against parameters, and the fitted law"))
    line, held = found.line, found.held_out
    sizes = line["parameters"].tolist()
    at = f" at {si(found.tokens)} tokens" if "tokens" in found.terms else ""
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    figure.add_scatter(x=sizes, y=_finite(line["high"].tolist()), showlegend=False, **band)
    figure.add_scatter(
        x=sizes, y=_finite(line["low"].tolist()), fill="tonexty", fillcolor=LIGHT, name="95 % of the bootstrap", **band
    )
    figure.add_scatter(
        x=sizes,
        y=_finite(line["loss"].tolist()),
        mode="lines",
        name=f"fit{at}",
        line={"color": OKABE_ITO[0], "width": 2},
        hovertemplate="%{x:.3s} parameters: %{y:.4g}<extra>fit</extra>",
    )
    cells = found.cells
    figure.add_scatter(
        x=cells["parameters"].tolist(),
        y=_finite(cells["loss"].tolist()),
        error_y={"type": "data", "array": _finite(cells["sd"].tolist()), "thickness": 1.2},
        mode="markers",
        name="cells",
        marker={"color": OKABE_ITO[1], "size": 9},
        text=[escape(name) for name in cells["label"]],
        hovertemplate="%{text}<br>%{x:.3s} parameters: %{y:.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=[held["parameters"]],
        y=_finite([held["predicted"]]),
        mode="markers",
        name="largest cell, predicted from the others",
        marker={"color": OKABE_ITO[5], "size": 12, "symbol": "x"},
        hovertemplate=f"{escape(held['label'])}<br>predicted: %{{y:.4g}}<extra></extra>",
    )
    figure.update_layout(xaxis=axis("parameters", type="log"), yaxis=axis(""), legend=LEGEND)
    return figure


def _finite(values: list[object]) -> list[float | None]:
    """Values as a figure takes them: None for what is no number."""
    return [value if isinstance(value, float | int) and math.isfinite(value) else None for value in values]
